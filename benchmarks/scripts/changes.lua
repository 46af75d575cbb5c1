-- New titles for the ads AD_IDS (separated by blanks), in turn, with the API token AD_TOKEN and by
-- the query WRITE_QUERY.
wrk.method = "PATCH"
wrk.headers["Authorization"] = "Token " .. os.getenv("AD_TOKEN")
wrk.headers["Content-Type"] = "application/json"
local query = os.getenv("WRITE_QUERY") or ""
local paths = {}
for id in string.gmatch(os.getenv("AD_IDS"), "%S+") do
  paths[#paths + 1] = "/api/v1/ads/" .. id .. "/" .. query
end
local count = 0

function request()
  count = count + 1
  local body = string.format('{"title":"Changed by a load %d"}', count)
  return wrk.format(nil, paths[count % #paths + 1], nil, body)
end
