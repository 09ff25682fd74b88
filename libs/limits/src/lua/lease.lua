#!lua flags=allow-oom
-- What a process may spend of a merchant's budget. One merchant is one hash:
--   level, at           units that are left, and when that was: milliseconds since 1970. Grows by `rate` a second up to `burst`;
--                       below zero is debt
--   rate, burst, most   the plan: units a second, units at once, units in flight
--   p:<process>         '<given> <shared> <flight> <until>': units that it was given in all, and spent in all without being
--                       given them (on its share, while it could not ask); units that it may have in flight; until when it
--                       is believed to live
-- Counts are absolute: a call that was carried out and whose answer was lost is carried out again without effect.
-- KEYS[1]  limits:{<merchant_id>}
-- ARGV     process, and how long it is believed to live without a word, in ms; 0: it leaves
--          rate, burst, most; 1 when they are known, 0 when they are what is supposed until then
--          units: spent in all, given in all as it knows, and how many it wants to have in hand
--          units on its share in all, and how many of them it knows to be told
--          units in flight: that it has, and that it wants to have room for
--          the level as it supposes: where nothing is known here, that is what is left
-- Returns  given in all, in flight granted, level (down), processes, shared in all, and the plan: rate, burst, most
local key, now = KEYS[1], clock()
local process, ttl = ARGV[1], tonumber(ARGV[2])
local rate, burst, most, is_known = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local spent, given, wanted = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local shared, told = tonumber(ARGV[10]), tonumber(ARGV[11])
local in_flight, flight_wanted, supposed = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])

local hash, processes, flight_of_others = {}, 1, 0
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, 2) ~= 'p:' then
    hash[name] = tonumber(value)
  else
    local its_given, its_shared, its_flight, its_until = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
    if string.sub(name, 3) == process then
      given, told = tonumber(its_given), tonumber(its_shared)
    elseif tonumber(its_until) <= now then
      -- What it had in hand may be spent: it comes back with time alone.
      redis.call('HDEL', key, name)
    else
      processes, flight_of_others = processes + 1, flight_of_others + tonumber(its_flight)
    end
  end
end
if not is_known and hash.rate then rate, burst, most = hash.rate, hash.burst, hash.most end

-- Only what the bucket had room for: what was spent on shares took of what it was refilled with meanwhile.
local before = hash.level or supposed
local refilled = hash.at and math.max(0, now - hash.at) * rate / 1000 or 0
local level = before + refilled - math.max(0, shared - told)
level = math.min(math.max(level, math.min(before, -burst)), burst)

-- Back what it has too much; what it owes whatever is left; and of what is left as much as there is.
local lacking = wanted - (given - spent)
if lacking > 0 then
  local owed = math.max(0, spent - given)
  lacking = math.max(owed, math.min(lacking, math.floor(level)))
end
given, level = given + lacking, math.min(level - lacking, burst)

local flight = math.max(in_flight, math.min(flight_wanted, most - flight_of_others))
local function text(number) return string.format('%.17g', number) end
redis.call('HSET', key, 'level', text(level), 'at', text(now), 'rate', text(rate), 'burst', text(burst), 'most', text(most))
if ttl == 0 then
  redis.call('HDEL', key, 'p:' .. process)
else
  redis.call('HSET', key, 'p:' .. process, table.concat({ text(given), text(shared), text(flight), text(now + ttl) }, ' '))
end
-- As long as something could be lost with it: a merchant that nothing is known of has all of its burst.
redis.call('PEXPIRE', key, math.ceil((burst - level) * 1000 / rate) + ttl + 1000)
return { text(given), text(flight), text(math.floor(level)), processes, text(shared), text(rate), text(burst), text(most) }
