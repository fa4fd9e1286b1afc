-- begin.lua: a rebuild begins; the shard refuses until it is published.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: yes.
--
-- KEYS[1] gen          string
-- KEYS[2] rebuilding   string, whose rebuild it is
-- KEYS[3] gens         set of generations that have keys
-- ARGV[1] token of this rebuild
-- ARGV[2] its generation
--
-- Returns {"ok"} or {"lost"} (another rebuild has taken over).

if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {'lost'} end
redis.call('DEL', KEYS[1])
redis.call('SADD', KEYS[3], ARGV[2])
return {'ok'}
