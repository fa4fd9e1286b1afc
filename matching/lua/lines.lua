-- lines.lua: publish the need lines of a county's lots, and its outlook.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: a repeat writes the same again.
--
-- KEYS[1] gen     string
-- KEYS[2] lines   hash   lot -> line, thousandths; <lot>|open; |version, |at, |drawn;
--                        |moved -> how often units left or came
-- KEYS[3] outlook string what other counties need to know
-- ARGV[1] generation
-- ARGV[2] version of the lines
-- ARGV[3] when they were drawn, Unix ms
-- ARGV[4] the outlook
-- ARGV[5] generation:|moved when the stock was read by which they were drawn
-- then per lot: lot, line; per lot that is kept for some and open: <lot>|open, 1
--
-- Returns {"ok"}, or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local moved = redis.call('HGET', KEYS[2], '|moved')
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], '|version', ARGV[2], '|at', ARGV[3], '|drawn', ARGV[5])
if moved then redis.call('HSET', KEYS[2], '|moved', moved) end
redis.call('SET', KEYS[3], ARGV[4])
for from = 6, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
return {'ok'}
