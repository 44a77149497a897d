-- Counts in sliding windows, all or none: src/store/window.rs, where the answer is computed from the rows that
-- are given back as they were before.

local PARTS = tonumber(arg())
local rows, order = {}, {}

local function row_of(name)
  if rows[name] then return rows[name] end
  local text = call('GET', prefix .. 'counter:' .. name) or ''
  local row = { before = text, buckets = {} }
  for index, count in string.gmatch(text, '(%d+):(%d+)') do
    row.buckets[#row.buckets + 1] = { tonumber(index), tonumber(count) }
  end
  local newest = row.buckets[#row.buckets]
  row.newest = newest and newest[1]
  rows[name] = row
  order[#order + 1] = name
  return row
end

local function take_back(buckets, amount)
  for i = #buckets, 1, -1 do
    local taken = math.min(amount, buckets[i][2])
    buckets[i][2] = buckets[i][2] - taken
    amount = amount - taken
    if buckets[i][2] == 0 then table.remove(buckets, i) end
  end
end

local function put(buckets, index, add)
  local place = #buckets + 1
  while place > 1 and buckets[place - 1][1] >= index do place = place - 1 end
  if buckets[place] and buckets[place][1] == index then
    buckets[place][2] = buckets[place][2] + add
  else
    table.insert(buckets, place, { index, add })
  end
end

local granted = true
each(function()
  local row = row_of(arg())
  local part, index, add, most = tonumber(arg()), tonumber(arg()), tonumber(arg()), maybe()
  local oldest, sum, kept = math.max(index - PARTS, 0), 0, {}
  for _, bucket in ipairs(row.buckets) do
    if bucket[1] >= oldest then
      kept[#kept + 1] = bucket
      sum = sum + bucket[2]
    end
  end
  if most and sum + math.max(add, 0) > tonumber(most) then granted = false end
  if add < 0 then take_back(kept, -add) elseif add > 0 then put(kept, index, add) end
  row.buckets, row.part = kept, part
  row.has_changed = row.has_changed or add ~= 0
end)

local answer = { granted and '1' or '0' }
for _, name in ipairs(order) do
  local row, text = rows[name], {}
  answer[#answer + 1] = row.before
  if granted and row.has_changed then
    for i, bucket in ipairs(row.buckets) do text[i] = string.format('%.0f:%.0f', bucket[1], bucket[2]) end
    if #text == 0 then
      call('DEL', prefix .. 'counter:' .. name)
      call('ZREM', prefix .. 'counter_expiry', name)
    else
      call('SET', prefix .. 'counter:' .. name, table.concat(text, ' '))
      local newest = row.buckets[#row.buckets][1]
      -- It lives as long as before where nothing was counted in a later part.
      if newest ~= row.newest then
        local expires = (newest + PARTS + 1) * row.part
        call('ZADD', prefix .. 'counter_expiry', string.format('%.0f', expires), name)
      end
    end
  end
end
return answer
