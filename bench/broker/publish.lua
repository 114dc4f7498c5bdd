-- wrk: POST events whose dedupers are all different, one or a batch of them a request; prints its findings as JSON.
-- What to send comes through the environment, because a credential does not belong on a command line.
local threads = 0
local event = os.getenv("BENCH_EVENT") -- an event as JSON, "@" where its deduper goes
local batch = tonumber(os.getenv("BENCH_BATCH"))
local run = os.getenv("BENCH_RUN")

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

function init()
  sent = 0
end

local function next_event()
  sent = sent + 1
  return (event:gsub("@", run .. "-" .. thread_number .. "-" .. sent))
end

function request()
  if batch == 1 then
    return wrk.format(nil, nil, nil, next_event())
  end
  local events = {}
  for number = 1, batch do
    events[number] = next_event()
  end
  return wrk.format(nil, nil, nil, '{"events":[' .. table.concat(events, ",") .. "]}")
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50":%.3f,"p95":%.3f,"p99":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
