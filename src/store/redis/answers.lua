-- A page of the answers, in the order in which they expire. Where the last one of the page before has gone, from
-- the beginning: what expired before it has gone with it.

local after, most = arg(), tonumber(arg())
local index = prefix .. 'answer_expiry'
local from = (call('ZRANK', index, after) or -1) + 1
local rows = {}
for _, key in ipairs(call('ZRANGE', index, from, from + most - 1)) do
  local row = call('HMGET', prefix .. 'answer:' .. key, 'f', 'b')
  if row[1] then rows[#rows + 1] = { key, row[1], row[2] } end
end
return rows
