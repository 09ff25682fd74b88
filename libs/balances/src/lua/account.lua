-- Opens every script, after the clock. One account is one hash:
--   ver      version of val; without val it is the floor: nothing below it may be installed
--   val      the balance, opaque here
--   die      when val dies, milliseconds since 1970; counts from the grant or fence that val rests on, never renewed
--   lease    '<id> <granted>': one reader's ticket to fill
--   f:<t>    a writer at work, token t: when it was fenced. While one is there nobody serves or fills
-- A ticket is a lease or any f:*. Versions are decimal texts, because a Lua number holds no more than 53 bits.
-- KEYS[1]  bal:{<merchant_id>}:<account_id>
local key = KEYS[1]
local now = clock()
local hash, tokens = {}, 0

local fields = redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  hash[fields[i]] = fields[i + 1]
  if string.sub(fields[i], 1, 2) == 'f:' then tokens = tokens + 1 end
end

local function newer(version, than)
  return #version > #than or (#version == #than and version > than)
end

local function set(field, value)
  redis.call('HSET', key, field, value)
  hash[field] = value
end

local function drop(field)
  if not hash[field] then return end
  redis.call('HDEL', key, field)
  hash[field] = nil
end

local function text(ms)
  return string.format('%.0f', ms)
end

local function fence_of(token)
  local fenced_at = hash['f:' .. token]
  return fenced_at and tonumber(fenced_at)
end

local function drop_fence(token)
  if not hash['f:' .. token] then return end
  drop('f:' .. token)
  tokens = tokens - 1
end

-- Two results: the lease's id and when it was granted.
local function lease()
  if not hash.lease then return nil end
  local id, granted = string.match(hash.lease, '^(%S+) (%d+)$')
  return id, tonumber(granted)
end

local function drop_value()
  drop('val')
  drop('die')
end

local function install(version, value, die)
  redis.call('HSET', key, 'ver', version, 'val', value, 'die', text(die))
  hash.ver, hash.val, hash.die = version, value, text(die)
end

-- An older value goes. While a ticket is out, version stays behind as the floor: who holds the ticket may hold less.
local function invalidate(version)
  if hash.val and newer(version, hash.ver) then drop_value() end
  if not hash.val and (tokens > 0 or hash.lease) and (not hash.ver or newer(version, hash.ver)) then set('ver', version) end
end

-- Ends each script but fence and read: a key that is not fenced has a TTL, and one without value and lease is no key.
local function settle(ttl)
  if tokens > 0 then return end
  if hash.val and tonumber(hash.die) <= now then drop_value() end
  if not hash.val and not hash.lease then
    redis.call('DEL', key)
    return
  end
  local _, granted = lease()
  redis.call('PEXPIREAT', key, hash.val and hash.die or text(granted + ttl))
end
