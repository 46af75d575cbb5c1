-- POST /increment over as many keys as the second argument says (1 000): each of the requests was
-- made ahead, so that making them costs no time while measuring.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

local function uuid(n)
  return string.format("%08x-5f0c-4c0e-9d3a-0f3f1a6f6a11", n)
end

function init(args)
  math.randomseed(tonumber(args[1] or 1) * 1000 + number)
  local keys = tonumber(args[2] or 1000)
  requests = {}
  for i = 1, 20000 do
    local body = string.format(
      '{"key": "%s", "value": %d}', uuid(math.random(keys)), math.random(1, 100))
    requests[i] = wrk.format("POST", "/increment", { ["Content-Type"] = "application/json" }, body)
  end
  at = 0
end

function request()
  at = at % #requests + 1
  return requests[at]
end
