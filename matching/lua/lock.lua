-- lock.lua: take a lock, or keep one's own for longer.
--
-- Atomic:     one script, one key; every check precedes every write.
-- Idempotent: yes; a repeat renews.
--
-- KEYS[1] lock    string, the holder's token
-- ARGV[1] token
-- ARGV[2] for how long, ms
--
-- Returns 1, or 0 when somebody else holds it.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
