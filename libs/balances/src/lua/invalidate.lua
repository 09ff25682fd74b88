#!lua flags=allow-oom
-- Invalidate before answering: whoever learnt a version from PostgreSQL runs this before anybody else hears of it.
-- KEYS[1]  the account
-- ARGV     version, TTL in ms
-- Returns  1
-- Leaves   no value below version; the floor while tickets are out. May arrive late, twice and in any order
local version, ttl = ARGV[1], tonumber(ARGV[2])
invalidate(version)
settle(ttl)
return 1
