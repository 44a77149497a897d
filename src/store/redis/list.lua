-- One page of a group, newest first.

local CHUNK = 256
local listed, least, most, limit = prefix .. 'listed:' .. arg(), arg(), arg(), tonumber(arg())
-- Where the page before ended: its last row's time and id.
local time, id = maybe(), maybe()

-- By bytes; `<` would go by the server's locale.
local function is_less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local rows, offset = {}, 0
while #rows < limit do
  local ids = call('ZREVRANGEBYSCORE', listed, most, least, 'WITHSCORES', 'LIMIT', offset, CHUNK)
  for i = 1, #ids, 2 do
    local is_next = not time or tonumber(ids[i + 1]) < tonumber(time) or is_less(ids[i], id)
    if is_next and #rows < limit then
      local row = call('HMGET', prefix .. 'record:' .. ids[i], 'c', 'v', 'b')
      if row[1] then rows[#rows + 1] = { ids[i], row[1], row[2], row[3] } end
    end
  end
  if #ids < 2 * CHUNK then break end
  offset = offset + CHUNK
end
return rows
