-- What every script begins with.
--
-- KEYS[1] is the prefix of all keys, with their hash tag; KEYS[2] holds the epoch of the caller's connection.
-- ARGV[1] is the epoch it believes to have, ARGV[2] names this turn; the rest is the verb's, in its order.
--
-- Times are decimal microseconds. They are compared as numbers (a double holds 2^53, the year 2255) and kept as
-- the text that came.
--
--   record:ID         v version, g group, c created, b bytes
--   listed:GROUP      ids by created             groups          groups that have records
--   wakes             ids by wake-up
--   queue:RECORD      effect -> kind, due, once, holder (or false), turn in which it was taken, bytes, whether it
--                     only waits for its holder
--   due               members by due             held:OWNER      members; holders: owners that hold any
--   addressed:OWNER   those of the held ones that wait, by due
--   leases            owners by when they were renewed
--   alias:NAME        records                    alias_expiry    members by expiry
--   hold:NAME         r record, u until          hold_expiry     members by expiry
--   answer:KEY        e expires, f fingerprint, b bytes          answer_expiry   keys by expiry
--   counter:SPAN:KEY  "index:count …"            counter_expiry  SPAN:KEY by expiry
--
-- A member is two names in one, in the order of the pair: what is equal by score is ordered by its bytes.

local prefix = KEYS[1]
local call = redis.call

if call('GET', KEYS[2]) ~= ARGV[1] then
  return redis.error_reply('FENCED another connection of this node came after this one')
end
local turn = ARGV[2]

local last = 2
local function arg()
  last = last + 1
  return ARGV[last]
end

-- `arg` as often as the next argument says.
local function each(read)
  local all = {}
  for i = 1, tonumber(arg()) do all[i] = read() end
  return all
end

-- An argument that may be missing: '0', or '1' and the argument.
local function maybe()
  if arg() == '1' then return arg() end
  return nil
end

local function member(first, second)
  return string.gsub(first, '%z', '\0\2') .. '\0\1' .. second
end

local function parts(member)
  local at = string.find(member, '\0\1', 1, true)
  return string.gsub(string.sub(member, 1, at - 1), '%z\2', '\0'), string.sub(member, at + 2)
end
