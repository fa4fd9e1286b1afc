-- confirm.lua: the record has these allocations, as promised or handed over.
--
-- A live hold becomes taken. An id that is not known here (Redis lost it, the
-- shard was rebuilt meanwhile, the hold was released) is adopted: its units
-- leave what is free, below zero if need be, and count against the caps. A
-- live hold of the same id with another claim is undone first: the record
-- has the last word.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: an allocation that was seen changes no stock again.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x], x: closed
--                        |<category> -> how often something of it became free
-- KEYS[3] holds   hash   hold id -> packed hold
-- KEYS[4] due     zset   hold id -> deadline, Unix ms
-- KEYS[5] seen    zset   allocation id -> 0 promised, else when it ended
-- KEYS[6] caps    hash   <household>|<field> -> period|used|next seq
--                        <household>|g:<key> -> "day,claims day,claims …"
-- KEYS[7] freed   set    categories in which units became free
-- ARGV[1] generation
-- ARGV[2] 0 for promised; for handed over the time, Unix ms
-- then per allocation: id, packed hold
--
-- Returns {"ok"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local mark = ARGV[2]
local function parse(packed)
  local h = {}
  for part in string.gmatch(packed .. '|', '([^|]*)|') do h[#h + 1] = part end
  return {
    household = h[2], lot = h[4], qty = tonumber(h[5]), field = h[6], period = h[7],
    ownField = h[9], ownPeriod = h[10], seq = tonumber(h[12]), keys = h[14] or '', day = h[15],
  }
end

-- lotOf reads a packed lot; one that is not known gives nothing.
local function lotOf(value)
  if not value then return {f = 0, h = 0, t = 0, closed = true} end
  local f, h, t, x = string.match(value, '^(-?%d+)|(-?%d+)|(-?%d+)(.*)$')
  return {known = true, f = tonumber(f), h = tonumber(h), t = tonumber(t), closed = x ~= '', mark = x}
end

local lots, caps, live, seen = {}, {}, {}, {}
local function learn(h)
  if not lots[h.lot] then
    lots[h.lot] = lotOf(redis.call('HGET', KEYS[2], h.lot))
  end
  for _, field in ipairs({h.field, h.ownField}) do
    local key = h.household .. '|' .. field
    if field ~= '' and not caps[key] then
      local value = redis.call('HGET', KEYS[6], key)
      local period, used, seq = string.match(value or '|0|0', '^([^|]*)|(%d+)|(%d+)$')
      caps[key] = {period = period, used = tonumber(used), seq = tonumber(seq)}
    end
  end
end

local items = {}
for i = 3, #ARGV, 2 do
  local id, h = ARGV[i], parse(ARGV[i + 1])
  local packed = redis.call('HGET', KEYS[3], id)
  if packed then
    live[id] = parse(packed)
    learn(live[id])
  end
  learn(h)
  seen[id] = redis.call('ZSCORE', KEYS[5], id)
  items[#items + 1] = {id = id, h = h}
end

-- claim counts units against a cap. An older period is over, so it counts no
-- more; of two kinds of period the one already counted stays.
local function claim(key, period, qty, seq)
  local cap = caps[key]
  if cap.period == period then
    cap.used = cap.used + qty
  elseif cap.period == '' or string.sub(cap.period, 1, 1) == string.sub(period, 1, 1) and cap.period < period then
    cap.period, cap.used = period, qty
  end
  cap.seq = math.max(cap.seq, seq)
  cap.changed = true
end

local function unclaim(key, period, qty)
  local cap = caps[key]
  if cap.period == period then
    cap.used = math.max(0, cap.used - qty)
    cap.changed = true
  end
end

-- note changes how many claims of a hold's day are noted under its keys.
local notes = {}
local function note(h, by)
  for key in string.gmatch(h.keys, '[^ ]+') do
    local field, claims, out = h.household .. '|g:' .. key, by, {}
    for d, n in string.gmatch(notes[field] or redis.call('HGET', KEYS[6], field) or '', '(%d+),(%d+)') do
      if d == h.day then claims = claims + tonumber(n) else out[#out + 1] = d .. ',' .. n end
    end
    if claims > 0 then out[#out + 1] = h.day .. ',' .. claims end
    notes[field] = table.concat(out, ' ')
  end
end

local freed = {}
for _, item in ipairs(items) do
  local id, h = item.id, item.h
  local lot, was = lots[h.lot], live[id]
  local same = was and was.lot == h.lot and was.qty == h.qty and was.seq == h.seq
  if not seen[id] and same then
    lot.h, lot.t = lot.h - h.qty, lot.t + h.qty
  elseif not seen[id] then
    if was then
      local old = lots[was.lot]
      old.h = old.h - was.qty
      if not old.closed then
        old.f = old.f + was.qty
        local category = string.sub(was.field, 3)
        freed[category] = (freed[category] or 0) + 1
      end
      note(was, -1)
      unclaim(was.household .. '|' .. was.field, was.period, was.qty)
      if was.ownField ~= '' then unclaim(was.household .. '|' .. was.ownField, was.ownPeriod, was.qty) end
    end
    if not lot.closed then lot.f = lot.f - h.qty end
    lot.t = lot.t + h.qty
    claim(h.household .. '|' .. h.field, h.period, h.qty, h.seq + 1)
    if h.ownField ~= '' then claim(h.household .. '|' .. h.ownField, h.ownPeriod, h.qty, 0) end
    note(h, 1)
  end
  item.new = not seen[id] or mark ~= '0' and tonumber(seen[id]) == 0
  seen[id] = mark
end

for name, lot in pairs(lots) do
  if lot.known then redis.call('HSET', KEYS[2], name, lot.f .. '|' .. lot.h .. '|' .. lot.t .. lot.mark) end
end
for key, cap in pairs(caps) do
  if cap.changed then redis.call('HSET', KEYS[6], key, cap.period .. '|' .. cap.used .. '|' .. cap.seq) end
end
for field, value in pairs(notes) do
  if value == '' then redis.call('HDEL', KEYS[6], field) else redis.call('HSET', KEYS[6], field, value) end
end
for _, item in ipairs(items) do
  if item.new then
    redis.call('HDEL', KEYS[3], item.id)
    redis.call('ZREM', KEYS[4], item.id)
    redis.call('ZADD', KEYS[5], mark, item.id)
  end
end
for category, times in pairs(freed) do
  redis.call('SADD', KEYS[7], category)
  redis.call('HINCRBY', KEYS[2], '|' .. category, times)
end
return {'ok'}
