-- Opens every script. Time is Redis' own: writers and readers compare no clocks. Tests put a clock of theirs in its place.
-- Returns milliseconds since 1970.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
