-- The mix of ad requests: limit 5/10/15, offset 0-9, age 1-100, both genders, 6 countries,
-- 3 platforms. Made ahead, so that making them costs no time while measuring; 30 000 different
-- ones a thread, of 324 000 possible.
local countries = { "TW", "JP", "US", "HK", "KR", "DE" }
local genders = { "M", "F" }
local platforms = { "android", "ios", "web" }
local limits = { 5, 10, 15 }
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  math.randomseed(tonumber(args[1] or 1) * 1000 + number)
  requests = {}
  for i = 1, 30000 do
    local path = string.format(
      "/api/v1/ad?age=%d&country=%s&gender=%s&platform=%s&offset=%d&limit=%d",
      math.random(1, 100), countries[math.random(#countries)], genders[math.random(#genders)],
      platforms[math.random(#platforms)], math.random(0, 9), limits[math.random(#limits)])
    requests[i] = wrk.format("GET", path)
  end
  at = 0
end

function request()
  at = at % #requests + 1
  return requests[at]
end
