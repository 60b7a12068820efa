-- wrk's requests and report. After `--`: a tag, then `body FILE`, or `paths FILE`.
-- A body's `@@` becomes the tag and a number, so that no two requests are equal.
-- Paths, one a line, are read in turn. The report is one line of JSON.

local number, tag, before, after, paths = 0, "", nil, nil, {}

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
