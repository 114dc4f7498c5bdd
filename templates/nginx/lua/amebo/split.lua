-- Which colour a request goes to, and what waits or is refused during maintenance.
local state = require("amebo.state")

local _M = { patience = 30 }
local READING = { GET = true, HEAD = true, OPTIONS = true }

-- Sticky, so that a publisher sees one side, and moves at most once while the share of green grows.
local function of_its_credential(green)
    if green <= 0 then
        return "blue"
    elseif green >= 100 then
        return "green"
    end
    local who = ngx.var.http_x_amebo_application or ngx.var.http_authorization or ngx.var.remote_addr
    return ngx.crc32_short(who) % 10000 < green * 100 and "green" or "blue"
end

-- Reads go on during maintenance, and so does signing in, which reading needs.
local function goes_on()
    return READING[ngx.req.get_method()] or ngx.var.uri == "/v1/tokens"
end

function _M.colour()
    local now, ctx, wanted = state.current(), ngx.ctx, ngx.var.http_x_amebo_colour
    if wanted and ngx.var.remote_addr == "127.0.0.1" and now.of[wanted] then -- a smoke test, from this host itself
        ctx.amebo_forced, ctx.amebo_colour = true, wanted
    else
        ctx.amebo_colour = of_its_credential(now.green)
    end
    if now.maintenance ~= "off" and not goes_on() then
        ngx.var.amebo_closed = "1"
    end
    return ctx.amebo_colour
end

-- For what is closed: waits where it may, then lets it in or refuses it.
function _M.admit()
    local maintenance, until_when = state.current().maintenance, ngx.now() + _M.patience
    while maintenance == "queue" and ngx.now() < until_when do
        ngx.sleep(0.1)
        maintenance = state.current().maintenance
    end
    if maintenance ~= "off" then
        return ngx.exec("@maintenance")
    end
end

return _M
