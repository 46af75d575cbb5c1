-- Session checks: `me` with the tokens of SESSION_TOKENS, a file with one a line, in random order.
-- PAUSE_MS between two requests of a connection makes a given rate of them.
function init(args)
  math.randomseed(tonumber(args[1] or 1))
  requests = {}
  for token in io.lines(os.getenv("SESSION_TOKENS")) do
    requests[#requests + 1] = wrk.format("GET", "/api/v1/users/me",
      { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  return requests[math.random(#requests)]
end

local pause_ms = tonumber(os.getenv("PAUSE_MS") or "0")
if pause_ms > 0 then
  function delay()
    return math.random(0, 2 * pause_ms)
  end
end
