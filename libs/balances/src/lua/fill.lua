#!lua flags=allow-oom
-- After a lease was granted and *then* the primary was read, before anybody hears of the version.
-- KEYS[1]  the account
-- ARGV     lease id, version, value, TTL in ms
-- Returns  1: value installed; 0: only older values are gone
-- Leaves   no lease of that id. May arrive late and twice: without its own lease it installs nothing
local id, version, value, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local held, granted = lease()
local own = held == id
local installs = own and tokens == 0 and not (hash.ver and newer(hash.ver, version)) and granted + ttl > now
if own then drop('lease') end
if installs then
  install(version, value, granted + ttl)
else
  invalidate(version)
end
settle(ttl)
return installs and 1 or 0
