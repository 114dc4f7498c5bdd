-- Which colour a request goes to, and what waits or is refused during maintenance.
local state = require("amebo.state")

local _M = { patience = 30 }
local READING = { GET = true, HEAD = true, OPTIONS = true }

-- Sticky by credential, so that a publisher sees one side, and moves at most once while the share of green grows.
function _M.colour()
    local now = state.current()
    local wanted = ngx.var.http_x_amebo_colour
    if wanted and ngx.var.remote_addr == "127.0.0.1" and now.of[wanted] then -- a smoke test, from this host itself
        ngx.ctx.amebo_forced = true
        return wanted
    end
    local who = ngx.var.http_x_amebo_application or ngx.var.http_authorization or ngx.var.remote_addr
    return ngx.crc32_short(who) % 10000 < now.green * 100 and "green" or "blue"
end

-- Reads go on, and so does signing in, which reading needs.
function _M.admit()
    local maintenance = state.current().maintenance
    if maintenance == "off" or READING[ngx.req.get_method()] or ngx.var.uri == "/v1/tokens" then
        return
    end
    local until_when = ngx.now() + _M.patience
    while maintenance == "queue" and ngx.now() < until_when do
        ngx.sleep(0.1)
        maintenance = state.current().maintenance
    end
    if maintenance ~= "off" then
        return ngx.exec("@maintenance")
    end
end

return _M
