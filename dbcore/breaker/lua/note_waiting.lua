-- Jobs that somebody waits for were found waiting for the database. KEYS: the record of each.
-- ARGV: whether the breaker is open (1 or 0), for how long they are kept where it is not, how long after an outage its jobs
-- may still be found, then for each job: id, when it was taken on record
local is_on, lingers, late_for = ARGV[1] == '1', ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local last = not is_on and redis.call('LINDEX', OUTAGES, 0)
local over = last and cjson.decode(last)
if over and now - over.ended_at > late_for then over = nil end

local late, late_oldest, is_any_left = 0, now, false
for i, record in ipairs(KEYS) do
  local id, taken_at = ARGV[2 + 2 * i], tonumber(ARGV[3 + 2 * i])
  local is_left = redis.call('EXISTS', record) == 1
  if over and taken_at < over.ended_at then
    late, late_oldest = late + 1, math.min(late_oldest, taken_at)
    if is_left then redis.call('SADD', jobs_after(over.id), id) end
    is_any_left = is_any_left or is_left
  else
    redis.call('HINCRBY', WAITING, 'jobs', 1)
    redis.call('HINCRBY', WAITING, 'jobs_by_id', 1)
    local oldest = tonumber(redis.call('HGET', WAITING, 'oldest'))
    if not oldest or taken_at < oldest then redis.call('HSET', WAITING, 'oldest', ARGV[3 + 2 * i]) end
    if is_left then redis.call('SADD', JOBS, id) end
  end
end

for _, key in ipairs({WAITING, JOBS}) do
  if is_on then redis.call('PERSIST', key) else redis.call('EXPIRE', key, lingers) end
end
if late > 0 then
  if is_any_left then drain_outage(over.id) end
  amend_outage(over.id, function(outage)
    outage.jobs_waited = outage.jobs_waited + late
    outage.longest_wait_seconds = math.max(outage.longest_wait_seconds, outage.ended_at - late_oldest)
    if redis.call('EXISTS', jobs_after(over.id)) == 1 then
      outage.drained_at = cjson.null
    else
      outage.drained_at = now
    end
  end)
end
