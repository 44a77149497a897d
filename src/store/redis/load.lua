-- A record, if it is of this group: nothing of another's is looked at.

local record = prefix .. 'record:' .. arg()
if call('HGET', record, 'g') ~= arg() then return { false } end
return call('HMGET', record, 'v', 'g', 'c', 'b')
