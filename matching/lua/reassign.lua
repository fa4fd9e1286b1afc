-- reassign.lua: an allocation that was promised to one household has been given
-- to another: its claim moves there, and it has ended.
--
-- Its units stay taken. A hold of it that nobody has confirmed here becomes
-- taken; what is not known here at all is left to confirm.lua, which adopts it
-- under the household that has it now.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: what has ended changes nothing.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x], x: closed
-- KEYS[3] holds   hash   hold id -> packed hold
-- KEYS[4] due     zset   hold id -> deadline, Unix ms
-- KEYS[5] seen    zset   allocation id -> 0 promised, else when it ended
-- KEYS[6] caps    hash   <household>|<field> -> period|used|next seq
-- ARGV[1] generation
-- ARGV[2] now, Unix ms, by the caller's clock
-- ARGV[3] allocation id
-- ARGV[4] packed hold as it was promised
-- ARGV[5] packed hold as it was given
--
-- Returns {"ok"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local now, id = ARGV[2], ARGV[3]
local function parse(packed)
  local h = {}
  for part in string.gmatch(packed .. '|', '([^|]*)|') do h[#h + 1] = part end
  return {
    household = h[2], lot = h[4], qty = tonumber(h[5]), field = h[6], period = h[7],
    ownField = h[9], ownPeriod = h[10], seq = tonumber(h[12]),
  }
end

local was, is = parse(ARGV[4]), parse(ARGV[5])
local seen = redis.call('ZSCORE', KEYS[5], id)
if seen and tonumber(seen) ~= 0 then return {'ok'} end
if not seen then
  local packed = redis.call('HGET', KEYS[3], id)
  local live = packed and parse(packed)
  if not live or live.lot ~= was.lot or live.qty ~= was.qty or live.seq ~= was.seq then return {'ok'} end
end

local caps = {}
local function learn(household, field)
  local key = household .. '|' .. field
  if not caps[key] then
    local period, used, seq = string.match(redis.call('HGET', KEYS[6], key) or '|0|0', '^([^|]*)|(%d+)|(%d+)$')
    caps[key] = {period = period, used = tonumber(used), seq = tonumber(seq)}
  end
  return caps[key]
end

-- As in confirm.lua: an older period is over, and of two kinds of period the
-- one already counted stays.
local function claim(cap, period, qty, seq)
  if cap.period == period then
    cap.used = cap.used + qty
  elseif cap.period == '' or string.sub(cap.period, 1, 1) == string.sub(period, 1, 1) and cap.period < period then
    cap.period, cap.used = period, qty
  end
  cap.seq = math.max(cap.seq, seq)
  cap.changed = true
end

local old = learn(was.household, was.field)
if old.period == was.period then
  old.used = math.max(0, old.used - was.qty)
  old.changed = true
end
claim(learn(is.household, is.field), is.period, is.qty, is.seq + 1)
if is.ownField ~= '' then claim(learn(is.household, is.ownField), is.ownPeriod, is.qty, 0) end

if not seen then
  local f, h, t, x = string.match(redis.call('HGET', KEYS[2], was.lot) or '', '^(-?%d+)|(-?%d+)|(-?%d+)(.*)$')
  if f then
    redis.call('HSET', KEYS[2], was.lot, f .. '|' .. (tonumber(h) - was.qty) .. '|' .. (tonumber(t) + was.qty) .. x)
  end
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
end
redis.call('ZADD', KEYS[5], now, id)
for key, cap in pairs(caps) do
  if cap.changed then redis.call('HSET', KEYS[6], key, cap.period .. '|' .. cap.used .. '|' .. cap.seq) end
end
return {'ok'}
