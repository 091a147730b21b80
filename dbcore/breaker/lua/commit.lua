-- Take a new state where it follows the one that is kept. ARGV: version it follows, state JSON,
-- then for a transition: event JSON, its name for the count, keep always (1 or 0), events kept at most, recent kept,
-- the outage that it ends as JSON ('' = none), whether it begins one (1 or 0), outages kept, and kept unwritten at most
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
  if ARGV[8] ~= '' then
    local waiting = redis.call('HMGET', WAITING, 'jobs', 'oldest', 'failed_probes', 'jobs_by_id')
    local outage = cjson.decode(ARGV[8])
    outage.jobs_waited = tonumber(waiting[1]) or 0
    outage.longest_wait_seconds = math.max(0, outage.ended_at - (tonumber(waiting[2]) or outage.ended_at))
    outage.failed_probes = tonumber(waiting[3]) or 0
    if redis.call('EXISTS', JOBS) == 1 then
      redis.call('RENAME', JOBS, jobs_after(outage.id))
      drain_outage(outage.id)
    elseif waiting[1] == waiting[4] then -- the release before counts them alone
      outage.drained_at = outage.ended_at
    end
    local line = cjson.encode(outage)
    redis.call('DEL', WAITING)
    redis.call('LPUSH', OUTAGES, line)
    redis.call('LTRIM', OUTAGES, 0, tonumber(ARGV[10]) - 1)
    redis.call('LPUSH', UNWRITTEN, line)
    redis.call('LTRIM', UNWRITTEN, 0, tonumber(ARGV[11]) - 1)
  end
  if ARGV[9] == '1' then
    redis.call('PERSIST', WAITING)
    redis.call('PERSIST', JOBS)
  end
  if ARGV[4] == 'half_open>open' then redis.call('HINCRBY', WAITING, 'failed_probes', 1) end
end
return 1
