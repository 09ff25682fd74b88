#!lua flags=allow-oom
-- The monitor found a value here that the ledger never had: a version from the future, other totals, nonsense.
-- KEYS[1]  the account
-- ARGV     version and value exactly as the monitor saw them ('' for none)
-- Returns  1: they are gone; 0: something else stands there by now, or a writer is at work, and all of it stays
-- Leaves   no key. This is the eviction of a key without a fence, which may happen at any time by itself (a lease goes
--          with it, a fence never): so may this, late and twice. The comparison only spares what is right again.
-- Not `invalidate` of a higher version: it would leave a floor that nobody committed, and `read` reports floors as known.
local version, value = ARGV[1], ARGV[2]
if tokens > 0 or not hash.val or (hash.ver or '') ~= version or hash.val ~= value then return 0 end
redis.call('DEL', key)
return 1
