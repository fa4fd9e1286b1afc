-- hold.lua: hold units for everything one resident needs.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
--             Asks of one call see each other's use of lots and caps.
-- Idempotent: a live hold of the need is returned with its first deadline and
--             counts as had; only what is then still wanted is held anew.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   <lot>:f|h -> free, held; a closed lot has none free
-- KEYS[3] holds   hash   hold id -> packed hold
-- KEYS[4] due     zset   hold id -> deadline, Unix ms
-- KEYS[5] seen    zset   allocation id -> 0 promised, else when it ended
-- KEYS[6] caps    hash   <household>|<field> -> period|used|next seq
-- KEYS[7] waits   set    categories with a waiting list
-- KEYS[8..]       wait   zset of ask 1, 2, …: need -> -weight
-- ARGV[1] generation
-- ARGV[2] deadline of new holds, Unix ms
-- ARGV[3] household
-- ARGV[4] how many ids a need may have in flight
-- ARGV[5] number of asks
-- then per ask: need, base, units, -weight, category, cap field, cap period,
-- cap limit, number of candidates; per candidate: offer, lot, cap field
-- (empty: none), cap period, cap limit
--
-- Returns {"ok", ask…}, per ask {stale 0|1, short units, why, cap used,
-- position or 0, {hold id, packed hold, …}}; or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local deadline, household, pieces = ARGV[2], ARGV[3], tonumber(ARGV[4])
local asks, ids, lotFields, capFields = {}, {}, {}, {}
local at = 6
for i = 1, tonumber(ARGV[5]) do
  local a = {
    need = ARGV[at], base = tonumber(ARGV[at + 1]), qty = tonumber(ARGV[at + 2]),
    rank = ARGV[at + 3], category = ARGV[at + 4], field = ARGV[at + 5],
    period = ARGV[at + 6], limit = tonumber(ARGV[at + 7]), offers = {},
  }
  capFields[#capFields + 1] = household .. '|' .. a.field
  local n = tonumber(ARGV[at + 8])
  at = at + 9
  for c = 1, n do
    local o = {
      offer = ARGV[at], lot = ARGV[at + 1], field = ARGV[at + 2],
      period = ARGV[at + 3], limit = tonumber(ARGV[at + 4]),
    }
    lotFields[#lotFields + 1] = o.lot .. ':f'
    lotFields[#lotFields + 1] = o.lot .. ':h'
    if o.field ~= '' then capFields[#capFields + 1] = household .. '|' .. o.field end
    a.offers[c] = o
    at = at + 5
  end
  for k = 0, pieces - 1 do ids[#ids + 1] = a.need .. '-' .. (a.base + k) end
  asks[i] = a
end

-- read gets the fields of a hash, a thousand at a time because unpack is
-- limited by the size of Lua's stack.
local function read(key, fields)
  local got = {}
  for from = 1, #fields, 1000 do
    local to = math.min(from + 999, #fields)
    local values = redis.call('HMGET', key, unpack(fields, from, to))
    for i = from, to do got[fields[i]] = values[i - from + 1] end
  end
  return got
end

local lots, live = read(KEYS[2], lotFields), read(KEYS[3], ids)
local caps, packed = {}, read(KEYS[6], capFields)
for field, value in pairs(packed) do
  local cap = {period = '', used = 0, seq = 0}
  if value then
    local period, used, seq = string.match(value, '^([^|]*)|(%d+)|(%d+)$')
    cap = {period = period, used = tonumber(used), seq = tonumber(seq)}
  end
  caps[field] = cap
end
local ended = {}
for from = 1, #ids, 1000 do
  local to = math.min(from + 999, #ids)
  local scores = redis.call('ZMSCORE', KEYS[5], unpack(ids, from, to))
  for i = from, to do ended[ids[i]] = scores[i - from + 1] end
end

-- use answers the period that a claim counts in, and what of it is used. A
-- period that lies ahead of the claim's stays: the caller's clock is behind
-- somebody else's.
local function use(cap, period)
  local ahead = string.sub(cap.period, 1, 1) == string.sub(period, 1, 1) and cap.period > period
  if cap.period == period or ahead then return cap.period, cap.used end
  return period, 0
end

local setLots, setHolds, setDue, setCaps = {}, {}, {}, {}
local function put(list, key, value)
  list[#list + 1] = key
  list[#list + 1] = value
end

local function serve(a)
  local had, free, found = 0, {}, {}
  for k = 0, pieces - 1 do
    local id = a.need .. '-' .. (a.base + k)
    if ended[id] then return {1, 0, '', 0, 0, {}} end
    if live[id] then
      put(found, id, live[id])
      had = had + tonumber(string.match(live[id], '^[^|]*|[^|]*|[^|]*|[^|]*|(%d+)|'))
    else
      free[#free + 1] = id
    end
  end
  local left, why = a.qty - had, 'stock'
  local cap, piece = caps[household .. '|' .. a.field], 1
  local period, used = use(cap, a.period)
  for _, o in ipairs(a.offers) do
    local stock = tonumber(lots[o.lot .. ':f'] or 0)
    if left <= 0 or piece > #free then break end
    if stock > 0 then
      local take = math.min(left, stock)
      if a.limit > 0 then take = math.min(take, a.limit - used) end
      local own, ownPeriod, ownUsed = nil, '', 0
      if o.field ~= '' then
        own = caps[household .. '|' .. o.field]
        ownPeriod, ownUsed = use(own, o.period)
      end
      if o.limit > 0 then
        take = math.min(take, o.limit - ownUsed)
        if ownUsed >= o.limit then why = 'offer_cap' end
      end
      if take > 0 then
        local id = free[piece]
        piece = piece + 1
        left = left - take
        lots[o.lot .. ':f'] = stock - take
        lots[o.lot .. ':h'] = tonumber(lots[o.lot .. ':h']) + take
        put(setLots, o.lot .. ':f', lots[o.lot .. ':f'])
        put(setLots, o.lot .. ':h', lots[o.lot .. ':h'])
        local hold = table.concat({
          a.need, household, o.offer, o.lot, take, a.field, period, a.limit,
          o.field, ownPeriod, o.limit, cap.seq, deadline,
        }, '|')
        live[id] = hold
        put(found, id, hold)
        put(setHolds, id, hold)
        put(setDue, deadline, id)
        used = used + take
        cap.period, cap.used, cap.seq = period, used, cap.seq + 1
        put(setCaps, household .. '|' .. a.field, cap.period .. '|' .. cap.used .. '|' .. cap.seq)
        if own then
          own.period, own.used = ownPeriod, ownUsed + take
          put(setCaps, household .. '|' .. o.field, own.period .. '|' .. own.used .. '|' .. own.seq)
        end
      end
    end
  end
  if left <= 0 then
    left, why = 0, ''
  elseif #a.offers == 0 then
    why = 'none'
  elseif a.limit > 0 and used >= a.limit then
    why = 'cap'
  end
  return {0, left, why, used, 0, found}
end

local out = {'ok'}
for i, a in ipairs(asks) do out[i + 1] = serve(a) end

local function write(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end
write('HSET', KEYS[2], setLots)
write('HSET', KEYS[3], setHolds)
write('ZADD', KEYS[4], setDue)
write('HSET', KEYS[6], setCaps)
for i, a in ipairs(asks) do
  local o = out[i + 1]
  if o[1] == 0 and o[2] > 0 then
    redis.call('ZADD', KEYS[7 + i], a.rank, a.need)
    redis.call('SADD', KEYS[7], a.category)
    o[5] = redis.call('ZRANK', KEYS[7 + i], a.need) + 1
  elseif o[1] == 0 then
    redis.call('ZREM', KEYS[7 + i], a.need)
  end
end
return out
