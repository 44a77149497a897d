-- All of a commit, or nothing of it.

local now, renewal = arg(), tonumber(arg())
local answer, record
if arg() == '1' then
  answer = { key = arg(), fingerprint = arg(), bytes = arg(), expires = arg(), pruned = arg() }
end
if arg() == '1' then
  record = {
    id = arg(), expected = maybe(), version = arg(), bytes = arg(), wake = maybe(), group = arg(), created = arg(),
  }
end
local holds = each(function() return { name = arg(), record = arg(), till = arg() } end)

local function is_after(time) return tonumber(time) > tonumber(now) end

if answer then
  local given = call('HMGET', prefix .. 'answer:' .. answer.key, 'e', 'f', 'b')
  if given[1] and is_after(given[1]) then return { 'answered', given[2], given[3] } end
end
local former
if record then
  former = call('HMGET', prefix .. 'record:' .. record.id, 'v', 'g')
  if (former[1] or nil) ~= record.expected then return { 'stale', former[1] } end
end
for _, wanted in ipairs(holds) do
  if is_after(wanted.till) then
    local holder = call('HMGET', prefix .. 'hold:' .. wanted.name, 'r', 'u')
    if holder[1] and is_after(holder[2]) and holder[1] ~= wanted.record then
      return { 'held', wanted.name, holder[1], holder[2] }
    end
  end
end

each(function() unqueue(member(arg(), arg())) end)
each(function()
  local of, owner, due, bytes = member(arg(), arg()), arg(), arg(), arg()
  local row = queued(of)
  if row and row[ONCE] == '0' and row[HOLDER] == owner and not row[WAITS] then
    unqueue(of)
    row[DUE], row[HOLDER], row[TURN], row[BYTES], row[WAITS] = due, false, '', bytes, false
    enqueue(of, row)
  end
end)
if record then
  local id, group = record.id, record.group
  if former[2] and former[2] ~= group then unlist(former[2], id) end
  call('HSET', prefix .. 'record:' .. id, 'v', record.version, 'g', group, 'c', record.created, 'b', record.bytes)
  call('ZADD', prefix .. 'listed:' .. group, record.created, id)
  call('ZADD', prefix .. 'groups', 0, group)
  if record.wake then
    call('ZADD', prefix .. 'wakes', record.wake, id)
  else
    call('ZREM', prefix .. 'wakes', id)
  end
end
each(function()
  local of = member(arg(), arg())
  local kind, due, once, owner, to, bytes = arg(), arg(), arg(), maybe(), maybe(), arg()
  if owner then renew(owner, now, renewal) end
  local row = { kind, due, once, owner or to or false, turn, bytes, not owner and to ~= nil }
  unqueue(of)
  enqueue(of, row)
end)
local prunes = arg()
local names = each(function() return { alias = arg(), record = arg(), expires = arg() } end)
-- So that they do not pile up however busy the store is.
if #names > 0 then prune_aliases(now, prunes) end
for _, name in ipairs(names) do
  call('ZADD', prefix .. 'alias:' .. name.alias, 0, name.record)
  call('ZADD', prefix .. 'alias_expiry', name.expires, member(name.alias, name.record))
end
for _, hold in ipairs(holds) do
  local key = prefix .. 'hold:' .. hold.name
  local holder = call('HGET', key, 'r')
  local keeps = is_after(hold.till)
  if holder and (keeps or holder == hold.record) then
    call('ZREM', prefix .. 'hold_expiry', member(hold.name, holder))
    call('DEL', key)
  end
  if keeps then
    call('HSET', key, 'r', hold.record, 'u', hold.till)
    call('ZADD', prefix .. 'hold_expiry', hold.till, member(hold.name, hold.record))
  end
end
if answer then
  -- More than is added, so that answers do not pile up however busy the store is.
  prune_answers(now, answer.pruned)
  local key = prefix .. 'answer:' .. answer.key
  call('HSET', key, 'e', answer.expires, 'f', answer.fingerprint, 'b', answer.bytes)
  call('ZADD', prefix .. 'answer_expiry', answer.expires, answer.key)
end
return { 'yes' }
