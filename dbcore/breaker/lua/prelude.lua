-- Shared by every script of the fleet. Time is Redis's own: hosts' clocks may differ.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local STATE, WINDOWS = 'ballast:breaker', 'ballast:breaker:windows'
local EVENTS, RECENT, COUNTS = 'ballast:breaker:events', 'ballast:breaker:recent', 'ballast:breaker:counts'
local RETRIES, CONNECTIONS = 'ballast:breaker:retries', 'ballast:connections'
local SATURATED, MOVE_ASKED = 'ballast:breaker:saturated', 'ballast:move:asked'

local function number_of(name)
  local state = redis.call('GET', STATE)
  return state and cjson.decode(state)[name] or 0
end

-- A process may have as many connections as it wants and the budget has left, but never fewer than `least`. Those of
-- processes long silent are forgotten. Returns what it may have.
local function reserve(process, wanted, least, open, budget, silent_after)
  local possible = 0
  local all = redis.call('HGETALL', CONNECTIONS)
  for i = 1, #all, 2 do
    local theirs, seen = string.match(all[i + 1], '(%d+) %d+ ([%d.]+)')
    if now - tonumber(seen) > silent_after then
      redis.call('HDEL', CONNECTIONS, all[i])
      redis.call('HDEL', WINDOWS, all[i])
    elseif all[i] ~= process then
      possible = possible + tonumber(theirs)
    end
  end
  local granted = wanted
  if budget then granted = math.max(least, math.min(wanted, budget - possible)) end
  first_write('HSET', CONNECTIONS, process, granted .. ' ' .. open .. ' ' .. string.format('%.3f', now))
  return granted
end
