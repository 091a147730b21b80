-- Take a new state where it follows the one that is kept. ARGV: version it follows, state JSON,
-- then for a transition: event JSON, its name for the count, keep always (1 or 0), events kept at most, recent kept
-- Returns 1 where it was taken.
if tonumber(ARGV[1]) ~= number_of('version') then return 0 end
first_write('SET', STATE, ARGV[2])
if ARGV[3] then
  redis.call('DEL', WINDOWS) -- calls of the time before are history
  redis.call('HINCRBY', COUNTS, ARGV[4], 1)
  local most = tonumber(ARGV[6])
  -- A night's outage is a long series of probes. Its beginning and its end are worth more than the middle.
  if ARGV[5] == '1' then most = 2 * most end
  if redis.call('LLEN', EVENTS) < most then
    redis.call('LPUSH', EVENTS, ARGV[3])
  else
    redis.call('HINCRBY', COUNTS, 'events_dropped', 1)
  end
  redis.call('LPUSH', RECENT, ARGV[3])
  redis.call('LTRIM', RECENT, 0, tonumber(ARGV[7]) - 1)
end
return 1
