-- wait.lua: put a need on a waiting list, or take it off.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: waiting again with the same weight keeps the place.
--
-- KEYS[1] gen     string
-- KEYS[2] wait    zset   need -> -weight
-- KEYS[3] waits   set    categories with a waiting list
-- ARGV[1] generation
-- ARGV[2] need
-- ARGV[3] category
-- ARGV[4] -weight, thousandths; empty takes the need off
--
-- Returns {"ok"} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

if ARGV[4] == '' then
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
  redis.call('SADD', KEYS[3], ARGV[3])
end
return {'ok'}
