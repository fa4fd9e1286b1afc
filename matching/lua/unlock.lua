-- unlock.lua: give a lock back, if it still is one's own.
--
-- Atomic:     one script, one key; every check precedes every write.
-- Idempotent: yes.
--
-- KEYS[1] lock    string, the holder's token
-- ARGV[1] token
--
-- Returns 1, or 0 when it was somebody else's or nobody's.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
