-- What traffic goes where: the split between colours, maintenance, and each instance's weight. In shared memory for all
-- workers, and on disk so that a restart has it too. Which instances there are is the inventory's to say.
local cjson = require("cjson.safe")

local LOCKED = 2 -- seconds after which a lock is taken from a worker that died with it
local DEFAULTS = { green = 0, since = 0, wish = "", maintenance = "off", revision = 0, instances = {} }

local _M = { file = "/var/lib/amebo-traffic/state.json", instances = "/etc/nginx/amebo/instances.json" }
local shared = ngx.shared.amebo
local known -- this worker's copy, of `known.revision`

local function read(path)
    local file = io.open(path)
    local content = file and cjson.decode(file:read("*a"))
    if file then
        file:close()
    end
    return type(content) == "table" and content or nil
end

-- Who exists, by the inventory; what is known of each stays.
local function merged(state, colours)
    local instances = {}
    for address, colour in pairs(colours) do
        local before = state.instances[address]
        local stays = before and before.colour == colour
        instances[address] = stays and before or { colour = colour, weight = 100, by = "" }
    end
    return instances
end

local function publish(state)
    shared:set("state", cjson.encode(state))
    shared:set("revision", state.revision)
end

-- The whole file or none of it, whenever it is interrupted.
local function store(state)
    local file, why = io.open(_M.file .. ".new", "w")
    if not file then
        return nil, why
    end
    local written, why_not = file:write(cjson.encode(state))
    written = file:close() and written
    if not written then
        return nil, why_not or "cannot write " .. _M.file
    end
    return os.rename(_M.file .. ".new", _M.file)
end

local function indexed(state)
    state.of = { blue = {}, green = {} }
    for address, instance in pairs(state.instances) do
        instance.address = address
        table.insert(state.of[instance.colour], instance)
    end
    for _, instances in pairs(state.of) do
        table.sort(instances, function(one, other)
            return one.address < other.address
        end)
    end
    return state
end

-- At a start from disk; at a reload from what is in force, which may be younger than any file.
function _M.load()
    local state = cjson.decode(shared:get("state") or "") or read(_M.file) or {}
    for name, value in pairs(DEFAULTS) do
        state[name] = state[name] or value
    end
    state.instances = merged(state, read(_M.instances) or {})
    state.revision = state.revision + 1
    publish(state)
end

-- As it is now; do not change it.
function _M.current()
    local revision = shared:get("revision")
    if not known or known.revision ~= revision then
        known = indexed(cjson.decode(shared:get("state")))
    end
    return known
end

-- Let `change` change the state, for all workers and on disk, or not at all; returns the new one, or nil and why not.
function _M.change(change)
    while not shared:add("lock", true, LOCKED) do
        ngx.sleep(0.01)
    end
    local state = cjson.decode(shared:get("state"))
    local done, status, why = pcall(change, state)
    if done and not status then
        state.revision = state.revision + 1
        done, why = store(state)
        status = not done and 500 or nil
        if done then
            publish(state)
        end
    elseif not done then
        status, why = 500, status
    end
    shared:delete("lock")
    if status then
        return nil, status, why
    end
    return _M.current()
end

function _M.reread()
    return _M.change(function(state)
        local colours = read(_M.instances)
        if not colours then
            return 500, "cannot read " .. _M.instances
        end
        state.instances = merged(state, colours)
    end)
end

return _M
