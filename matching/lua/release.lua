-- release.lua: these units are not given after all: a hold that the record
-- refused or nobody confirmed, an allocation that was declined, expired or
-- withdrawn, or units that were handed over and came back.
--
-- Units of a closed lot do not come back, and neither do those that the
-- caller says are lost; the caps are eased either way. A hold that was made
-- anew under the same id (another claim) is somebody else's and stays.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: what was released, ended or never known changes no stock; what
--             came back does so once under its own id.
-- What the record has ended is remembered as ended even where Redis only held
-- it or never knew it, so that a promise told late is not adopted.
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
-- ARGV[2] now, Unix ms, by the caller's clock
-- ARGV[3] "1": the units go back to the lot; "0": they are lost
-- ARGV[4] "1": the record has these as ended; "0": it never took them; "2": they
--         were given and came back, and the ids are of the coming back
-- then per hold or allocation: id, packed hold
--
-- Returns {"ok"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local now, back, over, given = ARGV[2], ARGV[3] == '1', ARGV[4] == '1', ARGV[4] == '2'
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

local lots, caps, items, done = {}, {}, {}, {}
local ended = {}
for i = 5, #ARGV, 2 do
  local id, h = ARGV[i], parse(ARGV[i + 1])
  local packed, score = redis.call('HGET', KEYS[3], id), redis.call('ZSCORE', KEYS[5], id)
  if over and (not score or tonumber(score) == 0) then ended[#ended + 1] = id end
  local from
  if packed then
    local was = parse(packed)
    if was.lot == h.lot and was.qty == h.qty and was.seq == h.seq then from = 'h' end
  elseif given and not score or not given and score and tonumber(score) == 0 then
    from = 't'
  end
  if from and not done[id] then
    done[id] = true
    items[#items + 1] = {id = id, h = h, from = from}
    if not lots[h.lot] then
      lots[h.lot] = lotOf(redis.call('HGET', KEYS[2], h.lot))
    end
    for _, field in ipairs({h.field, h.ownField}) do
      local key = h.household .. '|' .. field
      local value = field ~= '' and not caps[key] and redis.call('HGET', KEYS[6], key)
      if value then
        local period, used, seq = string.match(value, '^([^|]*)|(%d+)|(%d+)$')
        caps[key] = {period = period, used = tonumber(used), seq = seq}
      end
    end
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
local function unclaim(key, period, qty)
  local cap = caps[key]
  if cap and cap.period == period then cap.used = math.max(0, cap.used - qty) end
end
for _, item in ipairs(items) do
  local h, lot = item.h, lots[item.h.lot]
  lot[item.from] = lot[item.from] - h.qty
  if back and not lot.closed then
    lot.f = lot.f + h.qty
    local category = string.sub(h.field, 3)
    freed[category] = (freed[category] or 0) + 1
  end
  note(h, -1)
  unclaim(h.household .. '|' .. h.field, h.period, h.qty)
  unclaim(h.household .. '|' .. h.ownField, h.ownPeriod, h.qty)
end

for name, lot in pairs(lots) do
  if lot.known then redis.call('HSET', KEYS[2], name, lot.f .. '|' .. lot.h .. '|' .. lot.t .. lot.mark) end
end
for key, cap in pairs(caps) do
  redis.call('HSET', KEYS[6], key, cap.period .. '|' .. cap.used .. '|' .. cap.seq)
end
for field, value in pairs(notes) do
  if value == '' then redis.call('HDEL', KEYS[6], field) else redis.call('HSET', KEYS[6], field, value) end
end
for _, item in ipairs(items) do
  if item.from == 'h' then
    redis.call('HDEL', KEYS[3], item.id)
    redis.call('ZREM', KEYS[4], item.id)
  else
    redis.call('ZADD', KEYS[5], now, item.id)
  end
end
for _, id in ipairs(ended) do redis.call('ZADD', KEYS[5], now, id) end
for category, times in pairs(freed) do
  redis.call('SADD', KEYS[7], category)
  redis.call('HINCRBY', KEYS[2], '|' .. category, times)
end
return {'ok'}
