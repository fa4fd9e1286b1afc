-- drop.lua: a county is not what the record has; it refuses until it is rebuilt.
--
-- A rebuild that is under way may have read the record too early: it loses its
-- lock, and another begins when that runs out.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: yes.
--
-- KEYS[1] gen          string
-- KEYS[2] rebuilding   string, whose rebuild it is
-- ARGV[1] for how long a rebuild may fall silent, ms
--
-- Returns {"ok"}.

local rebuilding = redis.call('EXISTS', KEYS[2]) == 1
redis.call('DEL', KEYS[1])
if rebuilding then redis.call('SET', KEYS[2], 'dropped', 'PX', ARGV[1]) end
return {'ok'}
