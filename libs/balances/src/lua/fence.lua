#!lua
-- Before COMMIT: from here nobody serves or fills this account, and it cannot be evicted (volatile-lru: no TTL).
-- KEYS[1]  the account
-- ARGV     token, unique per send: sending one twice brings back a fence that was published or swept
-- Returns  1
-- Leaves   f:<token> without a TTL until publish, unfence or swept; if its writer dies, until a sweep
-- Refused for want of memory (no allow-oom): it is the one script that adds what cannot be evicted.
local token = ARGV[1]
set('f:' .. token, text(now))
redis.call('PERSIST', key)
return 1
