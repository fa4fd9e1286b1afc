-- move.lua: units of a lot leave for another county, or come from one.
--
-- What leaves must be free, unless the record says that it has left. A closed
-- lot has nothing free, so nothing leaves it and nothing comes to it. A lot
-- that is not known is opened with what the record has by then.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: a move that was seen changes nothing again, and is remembered anew.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x], x: closed
--                        |<category> -> how often something of it became free
-- KEYS[3] seen    zset   allocation or move id -> when it ended
-- KEYS[4] freed   set    categories in which units became free
-- KEYS[5] lines   hash   |moved -> how often units left or came
-- ARGV[1] generation
-- ARGV[2] now, Unix ms, by the caller's clock
-- ARGV[3] move id
-- ARGV[4] lot
-- ARGV[5] its category
-- ARGV[6] units that come; below 0: that leave
-- ARGV[7] "1": the record has them as gone; "0": only if they are free
-- ARGV[8] a move that this one takes back, or empty; where it was not seen it
--         counts as seen from now on, so that it takes nothing if it comes late
--
-- Returns {"ok", "moved" | "seen" | "short" | "unknown"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local now, id, lot, units = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
if redis.call('ZSCORE', KEYS[3], id) then
  redis.call('ZADD', KEYS[3], now, id)
  return {'ok', 'seen'}
end
if ARGV[8] ~= '' and not redis.call('ZSCORE', KEYS[3], ARGV[8]) then
  redis.call('ZADD', KEYS[3], now, id, now, ARGV[8])
  return {'ok', 'seen'}
end
local free, rest, closed = string.match(redis.call('HGET', KEYS[2], lot) or '', '^(-?%d+)(|%-?%d+|%-?%d+)(.*)$')
if not free then return {'ok', 'unknown'} end
free = tonumber(free) + units
if units < 0 and free < 0 and ARGV[7] == '0' then return {'ok', 'short'} end

redis.call('ZADD', KEYS[3], now, id)
if closed ~= '' then return {'ok', 'moved'} end
redis.call('HSET', KEYS[2], lot, free .. rest)
redis.call('HINCRBY', KEYS[5], '|moved', 1)
if units > 0 then
  redis.call('SADD', KEYS[4], ARGV[5])
  redis.call('HINCRBY', KEYS[2], '|' .. ARGV[5], 1)
end
return {'ok', 'moved'}
