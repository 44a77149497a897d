-- What is due, leased to one owner, and what lost owners hold.

local now, owner, limit = arg(), arg(), tonumber(arg())
local renewal, lease, again, prunes = tonumber(arg()), tonumber(arg()), arg(), arg()
local doubtful = {}
each(function() doubtful[arg()] = true end)

-- An owner of this name is nobody's: what it holds is orphaned from the start.
local NOBODY = ''

local renewed = renew(owner, now, renewal)

-- What the owner took in a turn whose answer never came, it does not know that it has.
if next(doubtful) then
  for _, of in ipairs(call('ZRANGE', prefix .. 'held:' .. owner, 0, -1)) do
    local row = queued(of)
    if row and not row[WAITS] and doubtful[row[TURN]] then
      unqueue(of)
      row[HOLDER] = NOBODY
      enqueue(of, row)
    end
  end
end

local function has_lapsed(holder)
  local at = call('ZSCORE', prefix .. 'leases', holder)
  return not at or tonumber(now) >= tonumber(at) + lease
end

local effects, taken = {}, 0
local function take(of, orphaned)
  local row = unqueue(of)
  row[HOLDER], row[TURN], row[WAITS] = owner, turn, false
  enqueue(of, row)
  local record, effect = parts(of)
  taken = taken + 1
  effects[taken] = { record, effect, row[KIND], row[DUE], row[ONCE], row[BYTES], orphaned }
end

local orphans = {}
for _, holder in ipairs(call('ZRANGE', prefix .. 'holders', 0, -1)) do
  local wanted = limit + 1 - #orphans
  if wanted > 0 and holder ~= owner and has_lapsed(holder) then
    for _, of in ipairs(call('ZRANGE', prefix .. 'held:' .. holder, 0, wanted - 1)) do
      orphans[#orphans + 1] = of
    end
  end
end
local has_more = #orphans > limit
for i = 1, math.min(#orphans, limit) do take(orphans[i], '1') end
local addressed = prefix .. 'addressed:' .. owner
for _, index in ipairs({ addressed, prefix .. 'due' }) do
  if taken < limit then
    for _, of in ipairs(call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, limit - taken)) do
      take(of, '0')
    end
  end
end

local wakes = {}
if limit > 0 then wakes = call('ZRANGEBYSCORE', prefix .. 'wakes', '-inf', now, 'LIMIT', 0, limit) end
for _, id in ipairs(wakes) do call('ZADD', prefix .. 'wakes', again, id) end

local function expired(index)
  return call('ZRANGEBYSCORE', prefix .. index, '-inf', now, 'LIMIT', 0, prunes)
end

if renewed or taken > 0 or #wakes > 0 then
  prune_aliases(now, prunes)
  for _, of in ipairs(expired('hold_expiry')) do
    call('ZREM', prefix .. 'hold_expiry', of)
    call('DEL', prefix .. 'hold:' .. parts(of))
  end
  prune_answers(now, prunes)
  -- Long after they lapsed: clocks differ.
  call('ZREMRANGEBYSCORE', prefix .. 'leases', '-inf', string.format('%.0f', tonumber(now) - 240 * lease))
  for _, name in ipairs(expired('counter_expiry')) do
    call('ZREM', prefix .. 'counter_expiry', name)
    call('DEL', prefix .. 'counter:' .. name)
  end
end

local earliest
local function consider(time)
  if time and (not earliest or tonumber(time) < tonumber(earliest)) then earliest = time end
end
consider(has_more and now)
consider(call('ZRANGE', addressed, 0, 0, 'WITHSCORES')[2])
consider(call('ZRANGE', prefix .. 'due', 0, 0, 'WITHSCORES')[2])
consider(call('ZRANGE', prefix .. 'wakes', 0, 0, 'WITHSCORES')[2])
return { earliest or '', effects, wakes }
