-- due.lua: the holds whose deadline has passed, oldest first; and the
-- allocations that ended long ago are forgotten.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: holds stay until they are confirmed or released.
--
-- KEYS[1] gen     string
-- KEYS[2] holds   hash   hold id -> packed hold
-- KEYS[3] due     zset   hold id -> deadline, Unix ms
-- KEYS[4] seen    zset   allocation id -> 0 promised, else when it ended
-- ARGV[1] generation
-- ARGV[2] now, Unix ms, by the caller's clock
-- ARGV[3] how many holds at most
-- ARGV[4] allocations that ended before this are forgotten, Unix ms
--
-- Returns {"ok", hold id, packed hold, …} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local out = {'ok'}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  out[#out + 1] = id
  out[#out + 1] = redis.call('HGET', KEYS[2], id)
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '(0', '(' .. ARGV[4])
return out
