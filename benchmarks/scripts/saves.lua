-- POST /save of 10 values: of each 100 messages one is the first tag's, of the rest one in 100 the
-- second's, and so on. Each of the requests was made ahead, with a time of its own.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  math.randomseed(tonumber(args[1] or 1) * 1000 + number)
  local now_s = os.time() - 60
  requests = {}
  for i = 1, 20000 do
    local place = math.floor(math.log(1 - math.random()) / math.log(0.99)) + 1
    local values = {}
    for v = 1, 10 do
      values[v] = string.format("%.3f", 100 + place + math.random())
    end
    local body = string.format(
      '{"time": %d%09d, "tag": "tag%05d", "values": [%s]}',
      now_s, number * 1000000 + i, math.min(place, 10000), table.concat(values, ", "))
    requests[i] = wrk.format("POST", "/save", { ["Content-Type"] = "application/json" }, body)
  end
  at = 0
end

function request()
  at = at % #requests + 1
  return requests[at]
end
