-- open.lua: lots that may be given from now on.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: a lot that is known stays as it is.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x], x: closed
--                        |<category> -> how often something of it became free
-- KEYS[3] freed   set    categories in which units became free
-- ARGV[1] generation
-- then per lot: id, category, free units, taken units, closed "1" or "0"
--
-- Returns {"ok"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local new, named = {}, {}
for i = 2, #ARGV, 5 do
  local lot = ARGV[i]
  if not named[lot] and redis.call('HEXISTS', KEYS[2], lot) == 0 then new[#new + 1] = i end
  named[lot] = true
end
for _, i in ipairs(new) do
  local lot = ARGV[i]
  if ARGV[i + 4] == '1' then
    redis.call('HSET', KEYS[2], lot, '0|0|' .. ARGV[i + 3] .. '|x')
  else
    redis.call('HSET', KEYS[2], lot, ARGV[i + 2] .. '|0|' .. ARGV[i + 3])
    redis.call('HINCRBY', KEYS[2], '|' .. ARGV[i + 1], 1)
    redis.call('SADD', KEYS[3], ARGV[i + 1])
  end
end
return {'ok'}
