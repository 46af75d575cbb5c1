-- New ads with the API token AD_TOKEN, one title after the other, by the query WRITE_QUERY.
wrk.method = "POST"
wrk.headers["Authorization"] = "Token " .. os.getenv("AD_TOKEN")
wrk.headers["Content-Type"] = "application/json"
local path = "/api/v1/ad" .. (os.getenv("WRITE_QUERY") or "")
local count = 0

function request()
  count = count + 1
  local body = string.format('{"title":"Made by a load %d","content":"text",' ..
    '"start_at":"2026-01-01T00:00:00Z","end_at":"2126-01-01T00:00:00Z",' ..
    '"age_start":20,"age_end":30,"country":["TW","JP"],"platform":["ios"]}', count)
  return wrk.format(nil, path, nil, body)
end
