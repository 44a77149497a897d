-- Records, their wake-ups and their effects.

local KIND, DUE, ONCE, HOLDER, TURN, BYTES, WAITS = 1, 2, 3, 4, 5, 6, 7

local function queued(of)
  local record, effect = parts(of)
  local row = call('HGET', prefix .. 'queue:' .. record, effect)
  return row and cmsgpack.unpack(row) or nil
end

local function unqueue(of)
  local row = queued(of)
  if not row then return nil end
  local record, effect = parts(of)
  call('HDEL', prefix .. 'queue:' .. record, effect)
  if row[HOLDER] then
    local held = prefix .. 'held:' .. row[HOLDER]
    call('ZREM', held, of)
    if row[WAITS] then call('ZREM', prefix .. 'addressed:' .. row[HOLDER], of) end
    if call('EXISTS', held) == 0 then call('ZREM', prefix .. 'holders', row[HOLDER]) end
  else
    call('ZREM', prefix .. 'due', of)
  end
  return row
end

local function enqueue(of, row)
  local record, effect = parts(of)
  call('HSET', prefix .. 'queue:' .. record, effect, cmsgpack.pack(row))
  if row[HOLDER] then
    call('ZADD', prefix .. 'held:' .. row[HOLDER], 0, of)
    call('ZADD', prefix .. 'holders', 0, row[HOLDER])
    if row[WAITS] then call('ZADD', prefix .. 'addressed:' .. row[HOLDER], row[DUE], of) end
  else
    call('ZADD', prefix .. 'due', row[DUE], of)
  end
end

local function unlist(group, id)
  local listed = prefix .. 'listed:' .. group
  call('ZREM', listed, id)
  if call('EXISTS', listed) == 0 then call('ZREM', prefix .. 'groups', group) end
end

local function remove_record(id)
  local group = call('HGET', prefix .. 'record:' .. id, 'g')
  if group then
    call('DEL', prefix .. 'record:' .. id)
    unlist(group, id)
  end
  call('ZREM', prefix .. 'wakes', id)
  for _, effect in ipairs(call('HKEYS', prefix .. 'queue:' .. id)) do
    unqueue(member(id, effect))
  end
end

-- Notes that an owner is alive; true when that was news.
local function renew(owner, now, renewal)
  local renewed = call('ZSCORE', prefix .. 'leases', owner)
  if renewed and tonumber(now) < tonumber(renewed) + renewal then return false end
  call('ZADD', prefix .. 'leases', now, owner)
  return true
end

local function prune_aliases(now, most)
  for _, of in ipairs(call('ZRANGEBYSCORE', prefix .. 'alias_expiry', '-inf', now, 'LIMIT', 0, most)) do
    local alias, record = parts(of)
    call('ZREM', prefix .. 'alias_expiry', of)
    call('ZREM', prefix .. 'alias:' .. alias, record)
  end
end

local function prune_answers(now, most)
  for _, key in ipairs(call('ZRANGEBYSCORE', prefix .. 'answer_expiry', '-inf', now, 'LIMIT', 0, most)) do
    call('ZREM', prefix .. 'answer_expiry', key)
    call('DEL', prefix .. 'answer:' .. key)
  end
end
