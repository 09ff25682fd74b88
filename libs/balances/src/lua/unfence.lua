#!lua flags=allow-oom
-- After a definite ROLLBACK, or once a sweep has made the COMMIT impossible.
-- KEYS[1]  the account
-- ARGV     token, TTL in ms
-- Returns  1
-- Leaves   what was there without the fence; may arrive late and twice
local token, ttl = ARGV[1], tonumber(ARGV[2])
drop_fence(token)
settle(ttl)
return 1
