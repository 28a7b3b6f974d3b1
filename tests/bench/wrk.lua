-- What wrk sends and what it prints: one request again and again, and one line of JSON at the end.
--
-- Environment: BENCH_HEADER, a header to send, "name: value"; BENCH_BODY, what to POST (without it, it is a GET);
-- BENCH_PAUSE_MS, how long a connection waits between two requests on average (without it, not at all).

local pause = tonumber(os.getenv("BENCH_PAUSE_MS") or "0")
local body = os.getenv("BENCH_BODY")
local threads = {}

-- wrk calls these for each request if they are there, and is slower then.
if pause > 0 then
    function delay()
        return math.random(0, 2 * pause)
    end
end
if body then
    function response(status)
        if status ~= 200 and status ~= 503 then
            strange = strange + 1
        end
    end
end

function setup(thread)
    table.insert(threads, thread)
end

function init(_)
    local name, value = (os.getenv("BENCH_HEADER") or ""):match("^([^:]+): (.*)$")
    if name then
        wrk.headers[name] = value
    end
    if body then
        wrk.method, wrk.body = "POST", body
    end
    strange = 0
end

function done(summary, latency, _)
    local errors, strange_to_all = summary.errors, 0
    for _, thread in ipairs(threads) do
        strange_to_all = strange_to_all + thread:get("strange")
    end
    io.write(string.format(
        '{"requests": %d, "micros": %d, "p50": %d, "p99": %d, "failed": %d, "refused": %d, "strange": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, errors.status, strange_to_all))
end
