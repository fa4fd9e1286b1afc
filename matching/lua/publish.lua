-- publish.lua: a rebuild is complete; the shard answers from it.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: a repeat finds the lock gone and changes nothing.
--
-- KEYS[1] gen          string
-- KEYS[2] rebuilding   string, whose rebuild it is
-- KEYS[3] server       string, the run id of the server it was written to
-- ARGV[1] token of this rebuild
-- ARGV[2] its generation
-- ARGV[3] run id; empty when the server has none
--
-- Returns {"ok"} or {"lost"} (another rebuild has taken over).

if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {'lost'} end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return {'ok'}
