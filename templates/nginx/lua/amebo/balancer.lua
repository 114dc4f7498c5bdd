-- Which instance gets a request: nginx' own least_conn, max_fails and fail_timeout, over a list that changes without a
-- reload. Counts are shared by all workers. What differs from nginx: a weight is the chance to be asked at all, and where
-- every instance has failed too often all are asked again, because a poor answer is better than none.
local balancer = require("ngx.balancer")
local state = require("amebo.state")

local _M = { max_fails = 3, fail_timeout = 30, tries = 3 }
local counts = ngx.shared.amebo_counts
local turn = 0
local NO_LIVE_UPSTREAMS = -3 -- NGX_BUSY, as nginx' own groups say it: a 502
local NOBODY = {}
local REMEMBERED = 10 -- times fail_timeout: then a failure is forgotten, with all that was counted for it
local TROUBLE = "trouble" -- there while any failure is remembered; else nobody needs to look for one

-- The names of an address' counts, put together once: a string for each of them and each request would cost more than all else.
local names = setmetatable({}, {
    __index = function(all, address)
        local host, port = address:match("^(.*):(%d+)$")
        local made = {
            host = host:match("^%[(.*)%]$") or host,
            port = tonumber(port),
            active = "active " .. address,
            fails = "fails " .. address,
            failed = "failed " .. address,
            checked = "checked " .. address,
        }
        all[address] = made
        return made
    end,
})

function _M.active(address)
    return math.max(counts:get(names[address].active) or 0, 0)
end

function _M.fails(address)
    return counts:get(names[address].fails) or 0
end

-- Failed too often, and not yet long enough ago.
function _M.is_out(address, now)
    local fails = counts:get(names[address].fails)
    if not fails or fails < _M.max_fails then
        return false
    end
    return now - (counts:get(names[address].checked) or 0) <= _M.fail_timeout
end

local function failed(address)
    local name, now, remembered = names[address], ngx.now(), REMEMBERED * _M.fail_timeout
    counts:set(TROUBLE, true, remembered)
    counts:incr(name.fails, 1, 0, remembered)
    counts:expire(name.fails, remembered)
    counts:set(name.failed, now, remembered)
    counts:set(name.checked, now, remembered)
end

-- A success counts when a new try was due: one between two failures changes nothing.
local function succeeded(address)
    if not counts:get(TROUBLE) then
        return
    end
    local name = names[address]
    local at = counts:get(name.failed)
    if at and at < (counts:get(name.checked) or 0) then
        counts:delete(name.fails)
        counts:delete(name.failed)
    end
end

local function released(address)
    counts:incr(names[address].active, -1, 0)
end

-- After fail_timeout one request tries an instance that failed; until its answer the others stay away.
local function chosen(address, trouble)
    local name = names[address]
    if trouble and counts:get(name.failed) then
        local now = ngx.now()
        if now - (counts:get(name.checked) or 0) > _M.fail_timeout then
            counts:set(name.checked, now, REMEMBERED * _M.fail_timeout)
        end
    end
    counts:incr(name.active, 1, 0)
end

local function anyone()
    return true
end

local function is_in(instance, trouble)
    return not trouble or not _M.is_out(instance.address, ngx.now())
end

local function has_its_turn(instance, trouble)
    return (instance.weight >= 100 or math.random(100) <= instance.weight) and is_in(instance, trouble)
end

-- The least busy; among equals in turn.
local function least(instances, tried, may_be_asked, trouble)
    local best, fewest
    turn = turn + 1
    for position = 1, #instances do
        local instance = instances[(turn + position) % #instances + 1]
        local address = instance.address
        if instance.weight > 0 and not tried[address] and may_be_asked(instance, trouble) then
            local active = counts:get(names[address].active) or 0
            if not best or active < fewest then
                best, fewest = address, active
            end
        end
    end
    return best
end

local function pick(instances, tried, trouble)
    return least(instances, tried, has_its_turn, trouble)
        or least(instances, tried, is_in, trouble)
        or least(instances, tried, anyone, trouble)
end

-- Its own colour's instances first. While traffic is split, what one side could not answer is tried on the other, so that
-- a bad canary costs nobody a request; and so is what has no instance left.
local function find(ctx, tried, trouble)
    local now, colour = state.current(), ctx.amebo_colour
    if ctx.amebo_forced or now.green <= 0 or now.green >= 100 then
        return pick(now.of[colour], tried, trouble)
    end
    local other = colour == "blue" and "green" or "blue"
    if next(tried) then
        colour, other = other, colour
    end
    return pick(now.of[colour], tried, trouble) or pick(now.of[other], tried, trouble)
end

-- Again for each try of a request, after the one before it failed.
function _M.balance()
    local ctx = ngx.ctx
    local asked, tried = ctx.amebo_asked, NOBODY
    if asked then
        released(asked)
        if balancer.get_last_failure() == "failed" then
            failed(asked)
        end
        tried = ctx.amebo_tried or {}
        tried[asked] = true
        ctx.amebo_tried = tried
    else
        balancer.set_more_tries(_M.tries - 1)
    end
    local trouble = counts:get(TROUBLE)
    local address = find(ctx, tried, trouble)
    ctx.amebo_asked = address
    if not address then
        return ngx.exit(NO_LIVE_UPSTREAMS)
    end
    chosen(address, trouble)
    local ok, why = balancer.set_current_peer(names[address].host, names[address].port)
    if not ok then
        ngx.log(ngx.ERR, "cannot ask ", address, ": ", why)
        return ngx.exit(NO_LIVE_UPSTREAMS)
    end
end

-- The last instance that was asked. Where an error page took the request's context away, nginx still knows it; where
-- nobody was left to ask, the name of the group stands there.
local function last(ctx)
    return ctx.amebo_asked or (ngx.var.upstream_addr or ""):match("([^%s,]+:%d+)$")
end

function _M.log()
    local address = last(ngx.ctx)
    if not address then
        return
    end
    released(address)
    local status = ngx.var.upstream_status or ""
    if #status > 3 then
        status = status:match("([^%s,]+)$")
    end
    if status == "502" or status == "504" or (status == "500" and ngx.var.amebo_publishing == "1") then
        failed(address)
    elseif ngx.status ~= 499 then
        succeeded(address)
    end
end

return _M
