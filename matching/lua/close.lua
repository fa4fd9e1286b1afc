-- close.lua: a lot has ended or was withdrawn; what is free leaves it.
--
-- Holds and promises of the lot stay what they are. A lot that is not known
-- is noted as closed, so that opening it late does not revive it.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
-- Idempotent: closing again answers 0 units.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x], x: closed
-- ARGV[1] generation
-- ARGV[2] lot
--
-- Returns {"ok", units that left} or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local lot = ARGV[2]
local free, held, taken = string.match(redis.call('HGET', KEYS[2], lot) or '0|0|0', '^(-?%d+)|(-?%d+)|(-?%d+)')
redis.call('HSET', KEYS[2], lot, '0|' .. held .. '|' .. taken .. '|x')
return {'ok', math.max(0, tonumber(free))}
