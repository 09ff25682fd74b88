#!lua flags=allow-oom
-- What a process may spend of a merchant's budget. One merchant is one hash:
--   level, at           units that are left, and when that was: milliseconds since 1970. Grows by `rate` a second up to `burst`;
--                       below zero is debt
--   over                units that there was no room for, as a count: what is spent on shares is paid out of those that its process
--                       could not have had meanwhile
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
--          the level as it supposes, more than there is room for included: where nothing is known here, that is what is left
--          the count of what there was no room for, as it knows it
--          1 when it counts from the beginning: it may have been here before, and have had no word with us when it went
--          its part of the level as it supposes, and of how many processes
-- Returns  given in all, in flight granted, level (down), processes, shared in all, over, the plan: rate, burst, most; and 1 where what
--          all had told is lost, as when Redis evicts what it has no memory for: each goes on with its part then
local key, now = KEYS[1], clock()
local process, ttl = ARGV[1], tonumber(ARGV[2])
local rate, burst, most, is_known = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local spent, given, wanted = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local shared, told = tonumber(ARGV[10]), tonumber(ARGV[11])
local in_flight, flight_wanted, supposed = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local over_known, is_first = tonumber(ARGV[15]), ARGV[16] == '1'
local part, processes_known = tonumber(ARGV[17]), tonumber(ARGV[18])

local hash, processes, flight_of_others = {}, 1, 0
local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if string.sub(name, 1, 2) ~= 'p:' then
    hash[name] = tonumber(value)
  else
    local its_given, its_shared, its_flight, its_until = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
    if string.sub(name, 3) == process then
      if not is_first then given, told = tonumber(its_given), tonumber(its_shared) end
    elseif tonumber(its_until) <= now then
      -- What it had in hand may be spent: it comes back with time alone.
      redis.call('HDEL', key, name)
    else
      processes, flight_of_others = processes + 1, flight_of_others + tonumber(its_flight)
    end
  end
end
-- Who has spent on its share tells that first: it was not reached, and so were the others.
local is_lost = not hash.level and not is_first and shared == told
if is_lost then supposed, processes = part, math.max(processes, processes_known) end
if not is_known and hash.rate then rate, burst, most = hash.rate, hash.burst, hash.most end

-- By the plan that was, or the one that is if it has less.
local before = math.min(hash.level or supposed, burst)
local refilled = hash.level and math.max(0, now - hash.at) * math.min(hash.rate, rate) / 1000 or supposed - before

-- What was spent on shares is paid out of what there was no room for since its process last knew, then out of the bucket; a debt
-- of one burst is the largest.
local over, untold = hash.over or over_known, math.max(0, shared - told)
local spare = is_first and 0 or math.min(untold, math.max(0, over - over_known))
local level = math.max(before + refilled - (untold - spare), math.min(before, -burst))
over, level = over - spare + math.max(0, level - burst), math.min(level, burst)

-- Back what it has too much; what it owes whatever is left; and of what is left as much as there is.
local lacking = wanted - (given - spent)
if lacking > 0 then
  local owed = math.max(0, spent - given)
  lacking = math.max(owed, math.min(lacking, math.floor(level)))
end
given, level = given + lacking, math.min(level - lacking, burst)

local room = is_lost and math.ceil(most / processes) or most - flight_of_others
local flight = math.max(in_flight, math.min(flight_wanted, room))
local function text(number) return string.format('%.17g', number) end
redis.call('HSET', key, 'level', text(level), 'at', text(now), 'rate', text(rate), 'burst', text(burst), 'most', text(most),
  'over', text(over))
if ttl == 0 then
  redis.call('HDEL', key, 'p:' .. process)
else
  redis.call('HSET', key, 'p:' .. process, table.concat({ text(given), text(shared), text(flight), text(now + ttl) }, ' '))
end
-- As long as something could be lost with it: a merchant that nothing is known of has all of its burst.
redis.call('PEXPIRE', key, math.ceil((burst - level) * 1000 / rate) + ttl + 1000)
return { text(given), text(flight), text(math.floor(level)), processes, text(shared), text(over), text(rate), text(burst), text(most),
  is_lost and 1 or 0 }
