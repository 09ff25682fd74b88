#!lua flags=allow-oom
-- A default read.
-- KEYS[1]  the account
-- ARGV     lease id, unique per send; TTL in ms; how long a lease keeps others waiting, ms; XFetch's draw −cost·β·ln(rand), ms
-- Returns  {'HIT', version, value}; {'REFRESH', version, value}: a hit, and the lease is yours for an early refresh;
--          {'DATABASE', version or '', oldest token, its age in ms}: a writer is at work; {'BUSY', version or ''}: another
--          reader fills; {'GRANTED', version or ''}: read the primary now, then fill
-- Leaves   perhaps lease = id, with a TTL; it grants none on a fenced key
local id, ttl, lease_ms, early = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if tokens > 0 then
  local oldest, since
  for field, at in pairs(hash) do
    if string.sub(field, 1, 2) == 'f:' and (not since or tonumber(at) < since) then
      oldest, since = string.sub(field, 3), tonumber(at)
    end
  end
  return { 'DATABASE', hash.ver or '', oldest, text(now - since) }
end
local _, granted = lease()
local leased = granted ~= nil and granted + lease_ms > now
if hash.val and tonumber(hash.die) > now then
  if leased or now + early < tonumber(hash.die) then return { 'HIT', hash.ver, hash.val } end
  set('lease', id .. ' ' .. text(now))
  return { 'REFRESH', hash.ver, hash.val }
end
if hash.val then
  drop_value()
  settle(ttl)
end
if leased then return { 'BUSY', hash.ver or '' } end
-- Without a ticket from before there is nobody to keep a floor for; taking over a lease keeps it, which is only stricter.
if not hash.lease then drop('ver') end
set('lease', id .. ' ' .. text(now))
redis.call('PEXPIREAT', key, text(now + ttl))
return { 'GRANTED', hash.ver or '' }
