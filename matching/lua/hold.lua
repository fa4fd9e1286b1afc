-- hold.lua: hold units for everything one resident needs.
--
-- Atomic:     one script, one hash slot; every check precedes every write.
--             Asks of one call see each other's use of lots and caps.
-- Idempotent: a live hold of the need is returned with its first deadline and
--             counts as had; only what is then still wanted is held anew.
--
-- A caller that names only the first of an ask's lots says so: the need is
-- then left on or off its waiting list as it was, and the caller asks again
-- with others. What it left out because it was empty before is still empty as
-- long as nothing of the category has become free since.
--
-- KEYS[1] gen     string
-- KEYS[2] lots    hash   lot -> free|held|taken[|x]; a closed lot has none free
--                        |<category> -> how often something of it became free
-- KEYS[3] holds   hash   hold id -> packed hold
-- KEYS[4] due     zset   hold id -> deadline, Unix ms
-- KEYS[5] seen    zset   allocation id -> 0 promised, else when it ended
-- KEYS[6] caps    hash   <household>|<field> -> period|used|next seq
--                        <household>|g:<key> -> "day,claims day,claims …"
-- KEYS[7] waits   set    categories with a waiting list
-- KEYS[8..]       wait   zset of ask 1, 2, …: need -> -weight
-- ARGV[1] generation
-- ARGV[2] deadline of new holds, Unix ms
-- ARGV[3] household
-- ARGV[4] how many ids a need may have in flight
-- ARGV[5] number of asks
-- then per ask: need, base, units, -weight, category, cap field, cap period,
-- cap limit, lots left out, number of candidates; per candidate: offer, lot,
-- own cap: field|period|limit, empty for none, marks: day|key key …|key,since,known …,
-- empty for none: the claim is noted under the keys; it is not made where the
-- household has made more claims under a key since that day than the caller
-- knows of, other than for this need in this call. Lots left out: "" none, "+" some,
-- generation:count of the category's: some that were empty when it stood there
--
-- Returns {"ok", ask…}, per ask {0 done, 1 stale or 2 ask for the lots left
-- out, short units, why, cap used, position or 0, count of the category,
-- empty candidates "i i …", hold id, packed hold, …}; or {"gen", current or ""}.

local current = redis.call('GET', KEYS[1])
if current ~= ARGV[1] then return {'gen', current or ''} end

local deadline, household, pieces = ARGV[2], ARGV[3] .. '|', tonumber(ARGV[4])
local asks, ids, lotFields, capFields = {}, {}, {}, {}
local at, lotCount, capCount, idCount = 6, 0, 0, 0
for i = 1, tonumber(ARGV[5]) do
  local need, n = ARGV[at], tonumber(ARGV[at + 9])
  asks[i] = at
  capCount = capCount + 1
  capFields[capCount] = household .. ARGV[at + 5]
  lotCount = lotCount + 1
  lotFields[lotCount] = '|' .. ARGV[at + 4]
  local prefix, base = need .. '-', tonumber(ARGV[at + 1])
  for k = base, base + pieces - 1 do
    idCount = idCount + 1
    ids[idCount] = prefix .. k
  end
  at = at + 10
  for c = at, at + 4 * n - 1, 4 do
    lotCount = lotCount + 1
    lotFields[lotCount] = ARGV[c + 1]
    if ARGV[c + 2] ~= '' then
      capCount = capCount + 1
      capFields[capCount] = household .. string.match(ARGV[c + 2], '^[^|]*')
    end
    if ARGV[c + 3] ~= '' then
      local keys, guards = string.match(ARGV[c + 3], '^%d+|([^|]*)|(.*)$')
      for key in string.gmatch(keys, '[^ ]+') do
        capCount = capCount + 1
        capFields[capCount] = household .. 'g:' .. key
      end
      for key in string.gmatch(guards, '([^ ,]+),%d+,%d+') do
        capCount = capCount + 1
        capFields[capCount] = household .. 'g:' .. key
      end
    end
  end
  at = at + 4 * n
end

-- read gets fields of a key, a thousand at a time because unpack is limited by
-- the size of Lua's stack.
local function read(command, key, fields)
  local got = {}
  for from = 1, #fields, 1000 do
    local to = math.min(from + 999, #fields)
    local values = redis.call(command, key, unpack(fields, from, to))
    for i = from, to do got[fields[i]] = values[i - from + 1] end
  end
  return got
end

local lots, live = read('HMGET', KEYS[2], lotFields), read('HMGET', KEYS[3], ids)
local packed, ended = read('HMGET', KEYS[6], capFields), read('ZMSCORE', KEYS[5], ids)

-- capOf is a cap as it stands in this call.
local caps = {}
local function capOf(key)
  local cap = caps[key]
  if not cap then
    local period, used, seq = string.match(packed[key] or '|0|0', '^([^|]*)|(%d+)|(%d+)$')
    cap = {period = period, used = tonumber(used), seq = tonumber(seq)}
    caps[key] = cap
  end
  return cap
end

-- use answers the period that a claim counts in, and what of it is used. A
-- period that lies ahead of the claim's stays: the caller's clock is behind
-- somebody else's.
local function use(cap, period)
  local ahead = string.sub(cap.period, 1, 1) == string.sub(period, 1, 1) and cap.period > period
  if cap.period == period or ahead then return cap.period, cap.used end
  return period, 0
end

-- since counts the claims noted under a key from a day on.
local function since(key, day)
  local n = 0
  for d, claims in string.gmatch(packed[household .. 'g:' .. key] or '', '(%d+),(%d+)') do
    if tonumber(d) >= day then n = n + tonumber(claims) end
  end
  return n
end

local setLots, setHolds, setDue, setCaps = {}, {}, {}, {}
local function put(list, key, value)
  local n = #list
  list[n + 1], list[n + 2] = key, value
end

-- note adds a claim under a key; what is older than rules look back goes.
local function note(key, day)
  local field, claims, out = household .. 'g:' .. key, 1, {}
  for d, n in string.gmatch(packed[field] or '', '(%d+),(%d+)') do
    if d == day then
      claims = claims + tonumber(n)
    elseif tonumber(d) > tonumber(day) - 367 then
      out[#out + 1] = d .. ',' .. n
    end
  end
  out[#out + 1] = day .. ',' .. claims
  packed[field] = table.concat(out, ' ')
  put(setCaps, field, packed[field])
end

local function serve(at)
  local need, category, field, limit = ARGV[at], ARGV[at + 4], ARGV[at + 5], tonumber(ARGV[at + 7])
  local count, leftOut, n = lots['|' .. category] or '0', ARGV[at + 8], tonumber(ARGV[at + 9])
  local prefix, base = need .. '-', tonumber(ARGV[at + 1])
  local out, empty, left, free = {0, 0, 'stock', 0, 0, count, ''}, {}, tonumber(ARGV[at + 2]), {}
  for k = base, base + pieces - 1 do
    local id = prefix .. k
    if ended[id] then return {1, 0, '', 0, 0, count, ''} end
    if live[id] then
      put(out, id, live[id])
      left = left - tonumber(string.match(live[id], '^[^|]*|[^|]*|[^|]*|[^|]*|(%d+)|'))
    else
      free[#free + 1] = id
    end
  end
  local capKey, piece, mine, moved = household .. field, 1, {}, false
  local cap = capOf(capKey)
  local period, used = use(cap, ARGV[at + 6])
  for i = 1, n do
    if left <= 0 or piece > #free then break end
    local c = at + 6 + 4 * i
    local offer, lot, own = ARGV[c], ARGV[c + 1], ARGV[c + 2]
    local day, keys, guards = string.match(ARGV[c + 3], '^(%d+)|([^|]*)|(.*)$')
    local behind = false
    for key, from, known in string.gmatch(guards or '', '([^ ,]+),(%d+),(%d+)') do
      behind = behind or since(key, tonumber(from)) - (mine[key] or 0) > tonumber(known)
    end
    local stock, held, rest = string.match(lots[lot] or '0|0|', '^(-?%d+)|(-?%d+)|(.*)$')
    stock = tonumber(stock)
    if stock <= 0 then
      empty[#empty + 1] = i
    elseif behind then
      moved = true
    else
      local take = math.min(left, stock)
      if limit > 0 then take = math.min(take, limit - used) end
      local ownField, ownPeriod, ownLimit, ownCap, ownUsed = '', '', '0', nil, 0
      if own ~= '' then
        ownField, ownPeriod, ownLimit = string.match(own, '^([^|]*)|([^|]*)|(%d+)$')
        ownCap = capOf(household .. ownField)
        ownPeriod, ownUsed = use(ownCap, ownPeriod)
        local most = tonumber(ownLimit)
        if most > 0 then
          take = math.min(take, most - ownUsed)
          if ownUsed >= most then out[3] = 'offer_cap' end
        end
      end
      if take > 0 then
        local id = free[piece]
        piece, left = piece + 1, left - take
        lots[lot] = (stock - take) .. '|' .. (tonumber(held) + take) .. '|' .. rest
        put(setLots, lot, lots[lot])
        local hold = table.concat({
          need, ARGV[3], offer, lot, take, field, period, limit, ownField, ownPeriod, ownLimit, cap.seq, deadline,
          keys or '', day or 0,
        }, '|')
        for key in string.gmatch(keys or '', '[^ ]+') do
          note(key, day)
          mine[key] = (mine[key] or 0) + 1
        end
        live[id] = hold
        put(out, id, hold)
        put(setHolds, id, hold)
        put(setDue, deadline, id)
        used = used + take
        cap.period, cap.used, cap.seq = period, used, cap.seq + 1
        put(setCaps, capKey, period .. '|' .. used .. '|' .. cap.seq)
        if ownCap then
          ownCap.period, ownCap.used = ownPeriod, ownUsed + take
          put(setCaps, household .. ownField, ownPeriod .. '|' .. ownCap.used .. '|' .. ownCap.seq)
        end
      end
    end
  end
  out[2], out[4], out[7] = left, used, table.concat(empty, ' ')
  if left <= 0 then
    out[2], out[3] = 0, ''
  elseif n == 0 then
    out[3] = 'none'
  elseif limit > 0 and used >= limit then
    out[3] = 'cap'
  elseif leftOut ~= '' and leftOut ~= ARGV[1] .. ':' .. count and piece <= #free then
    out[1] = 2
  end
  if moved and left > 0 and out[3] ~= 'cap' then out[3] = 'moved' end
  return out
end

local out = {'ok'}
for i, at in ipairs(asks) do out[i + 1] = serve(at) end

local function write(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end
write('HSET', KEYS[2], setLots)
write('HSET', KEYS[3], setHolds)
write('ZADD', KEYS[4], setDue)
write('HSET', KEYS[6], setCaps)
for i, at in ipairs(asks) do
  local o = out[i + 1]
  if o[1] == 0 and o[2] > 0 then
    redis.call('ZADD', KEYS[7 + i], ARGV[at + 3], ARGV[at])
    redis.call('SADD', KEYS[7], ARGV[at + 4])
    o[5] = redis.call('ZRANK', KEYS[7 + i], ARGV[at]) + 1
  elseif o[1] == 0 then
    redis.call('ZREM', KEYS[7 + i], ARGV[at])
  end
end
return out
