#!lua flags=allow-oom
-- After COMMIT, before the acknowledgement.
-- KEYS[1]  the account
-- ARGV     token, version, value, TTL in ms
-- Returns  1: value installed; 0: only older values are gone
-- Leaves   no f:<token>. May arrive late and twice: without its own token it installs nothing
local token, version, value, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local fenced_at = fence_of(token)
local newest = not hash.ver or newer(version, hash.ver) or (version == hash.ver and not hash.val)
local installs = fenced_at ~= nil and fenced_at + ttl > now and newest
if installs then
  install(version, value, fenced_at + ttl)
else
  invalidate(version)
end
drop_fence(token)
settle(ttl)
return installs and 1 or 0
