-- What wrk sends and what it prints: one GET again and again, and one line of JSON at the end.
--
-- Environment: BENCH_HEADER, a header to send, "name: value"; BENCH_PAUSE_MS, how long a connection waits between two
-- requests on average (without it, not at all).

local pause = tonumber(os.getenv("BENCH_PAUSE_MS") or "0")

-- wrk calls these for each request if they are there, and is slower then.
if pause > 0 then
    function delay()
        return math.random(0, 2 * pause)
    end
end

function init(_)
    local name, value = (os.getenv("BENCH_HEADER") or ""):match("^([^:]+): (.*)$")
    if name then
        wrk.headers[name] = value
    end
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "micros": %d, "p50": %d, "p99": %d, "failed": %d, "refused": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
