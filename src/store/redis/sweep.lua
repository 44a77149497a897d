-- Removes a few old records of a group, the oldest first.

local CHUNK = 256
local group, begins, before, most = arg(), arg(), arg(), tonumber(arg())
local old, offset = {}, 0
while #old < most do
  local ids = call('ZRANGEBYSCORE', prefix .. 'listed:' .. group, '-inf', '(' .. before, 'LIMIT', offset, CHUNK)
  for _, id in ipairs(ids) do
    if #old < most and string.sub(id, 1, #begins) == begins then old[#old + 1] = id end
  end
  if #ids < CHUNK then break end
  offset = offset + CHUNK
end
for _, id in ipairs(old) do remove_record(id) end
return #old
