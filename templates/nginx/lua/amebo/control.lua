-- The endpoint that changes traffic, for this host alone: GET and PATCH /traffic, POST /instances.
local cjson = require("cjson.safe")
local balancer = require("amebo.balancer")
local state = require("amebo.state")

local _M = {}
local MAINTENANCE = { off = true, on = true, queue = true }
local WISHES = { [""] = true, pause = true, promote = true, abort = true } -- for whoever runs a canary
local FIELDS = { green = true, wish = true, maintenance = true, weights = true, by = true, revision = true }

local function is_share(value)
    return type(value) == "number" and value >= 0 and value <= 100
end

local function answer(status, body)
    ngx.status = status
    ngx.header.content_type = "application/json"
    ngx.say(cjson.encode(body))
end

local function shown(now)
    local instances = {}
    for address, instance in pairs(now.instances) do
        instances[address] = {
            colour = instance.colour,
            weight = instance.weight,
            by = instance.by,
            active = balancer.active(address),
            fails = balancer.fails(address),
            tripped = balancer.is_out(address, ngx.now()),
        }
    end
    return {
        green = now.green,
        since = now.since,
        wish = now.wish,
        maintenance = now.maintenance,
        revision = now.revision,
        instances = instances,
    }
end

local function weigh(instances, weights, by)
    if type(weights) ~= "table" then
        return 400, "weights is an object: address to 0..100"
    end
    for address, weight in pairs(weights) do
        local instance = instances[address]
        if not instance then
            return 404, "there is no instance " .. tostring(address) .. " in the inventory of this load balancer"
        elseif not is_share(weight) then
            return 400, "the weight of " .. address .. " is a number from 0 to 100"
        end
        instance.weight, instance.by = weight, by
    end
end

-- The first thing that is wrong, else nothing.
local function apply(now, wanted)
    for name in pairs(wanted) do
        if not FIELDS[name] then
            return 400, "there is no " .. tostring(name) .. "; there are green, wish, maintenance, weights, by, revision"
        end
    end
    if wanted.revision and wanted.revision ~= now.revision then
        return 409, "somebody changed it meanwhile: this is revision " .. now.revision
    elseif wanted.green and not is_share(wanted.green) then
        return 400, "green is a number from 0 to 100"
    elseif wanted.maintenance and not MAINTENANCE[wanted.maintenance] then
        return 400, "maintenance is off, on or queue"
    elseif wanted.wish and not WISHES[wanted.wish] then
        return 400, "wish is pause, promote, abort or empty"
    elseif wanted.by and type(wanted.by) ~= "string" then
        return 400, "by is a word"
    end
    if wanted.green and wanted.green ~= now.green then
        now.green, now.since = wanted.green, ngx.now()
    end
    now.wish = wanted.wish or now.wish
    now.maintenance = wanted.maintenance or now.maintenance
    if wanted.weights then
        return weigh(now.instances, wanted.weights, wanted.by or "")
    end
end

local function changed(now, status, why)
    if now then
        return answer(200, shown(now))
    end
    return answer(status, { error = why })
end

function _M.traffic()
    local method = ngx.req.get_method()
    if method == "GET" then
        return answer(200, shown(state.current()))
    elseif method ~= "PATCH" then
        return answer(405, { error = "GET or PATCH" })
    end
    ngx.req.read_body()
    local wanted = cjson.decode(ngx.req.get_body_data() or "")
    if type(wanted) ~= "table" then
        return answer(400, { error = "the body is no JSON object" })
    end
    return changed(state.change(function(now)
        return apply(now, wanted)
    end))
end

function _M.instances()
    if ngx.req.get_method() ~= "POST" then
        return answer(405, { error = "POST" })
    end
    return changed(state.reread())
end

return _M
