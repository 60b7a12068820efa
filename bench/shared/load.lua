-- wrk's requests and report. After `--`: a tag, then `body FILE`, or `paths FILE`, and at most how
-- many a second: without it each connection sends its next as soon as it is answered.
-- A body's `@@` becomes the tag and a number, so that no two requests are equal.
-- Paths, one a line, are read in turn. The report is one line of JSON.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s, us; } timeval; int gettimeofday(timeval *now, void *zone);")

local number, tag, before, after, paths = 0, "", nil, nil, {}
local clock = ffi.new("timeval")

local function now_ms()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.s) * 1e3 + tonumber(clock.us) / 1e3
end

-- wrk asks `delay` before each request how many milliseconds to wait.
local function pace(per_s)
  local turn = now_ms()
  function delay()
    local now = now_ms()
    turn = math.max(turn + 1e3 / per_s, now)
    return math.floor(turn - now)
  end
end

function init(args)
  tag = args[1]
  local file = assert(io.open(args[3], "rb"))
  if args[2] == "body" then
    local text = file:read("*a")
    local at = assert(text:find("@@", 1, true))
    before, after = text:sub(1, at - 1), text:sub(at + 2)
  else
    for line in file:lines() do paths[#paths + 1] = line end
  end
  file:close()
  if args[4] then pace(tonumber(args[4])) end
end

function request()
  number = number + 1
  if before == nil then
    return wrk.format("GET", paths[number % #paths + 1])
  end
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = wrk.headers["Authorization"],
    ["Host"] = wrk.headers["Host"],
  }
  return wrk.format("POST", nil, headers, before .. tag .. number .. after)
end

function done(summary, latency, requests)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "refused": %d, "broken": %d, "seconds": %.3f, "p50_ms": %.2f, "p99_ms": %.2f}\n',
    summary.requests, errors.status, broken, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
