-- What jobs wait for the end of an outage, and which are still to be finished after it. Shared by the scripts that begin and
-- end outages, note who waits, and finish jobs.
local OUTAGES, UNWRITTEN = 'ballast:outages', 'ballast:outages:unwritten'
local WAITING, JOBS, DRAINING = 'ballast:outage:waiting', 'ballast:outage:jobs', 'ballast:outages:draining'
local DRAINS_FOR_MAX = 172800

local function jobs_after(id) return 'ballast:outage:jobs:' .. id end

-- One that is over: what is learnt of it later goes to the table as well.
local function amend_outage(id, change)
  for i, line in ipairs(redis.call('LRANGE', OUTAGES, 0, -1)) do
    local outage = cjson.decode(line)
    if outage.id == id then
      change(outage)
      line = cjson.encode(outage)
      redis.call('LSET', OUTAGES, i - 1, line)
      redis.call('LPUSH', UNWRITTEN, line)
      return
    end
  end
end

-- It is over, and these jobs are left of it.
local function drain_outage(id)
  if redis.call('LREM', DRAINING, 0, id) == 0 then redis.call('EXPIRE', jobs_after(id), DRAINS_FOR_MAX) end
  redis.call('RPUSH', DRAINING, id)
end

-- at -- seconds since 1970.
local function finish_waiting_job(job_id, at)
  redis.call('SREM', JOBS, job_id)
  for _, id in ipairs(redis.call('LRANGE', DRAINING, 0, -1)) do
    local was_left = redis.call('SREM', jobs_after(id), job_id) == 1
    if redis.call('EXISTS', jobs_after(id)) == 0 then
      redis.call('LREM', DRAINING, 0, id)
      if was_left then amend_outage(id, function(outage) outage.drained_at = at end) end
    end
  end
end
