#!lua flags=allow-oom
-- A sweeper found that the token's writer committed, and *then* read the version.
-- KEYS[1]  the account
-- ARGV     token, version, TTL in ms
-- Returns  1
-- Leaves   no f:<token>, no value below version; the floor while other tickets are out. May arrive late and twice
local token, version, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
invalidate(version)
drop_fence(token)
settle(ttl)
return 1
