-- For how long, in ms, a job has waited in its queue for a worker to take it: the longest such wait, or 0 where none is
-- overdue. A job that a process holds, that is due later, or that is held back for the database does not wait; nor does
-- an answer, which may be waiting for Telegram. Only the head of a lane can wait.
-- ARGV: since when calls are let through, and for how long after that nothing is overdue (ms), from how many ms on it is,
-- looked at at most, then kinds that take their time.
local since_ms, after_ms, slow = tonumber(ARGV[1]), tonumber(ARGV[3]), {}
for i = 5, #ARGV do slow[ARGV[i]] = true end
if now - since_ms < tonumber(ARGV[2]) then return 0 end
local longest_ms = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ALL, '-inf', now - after_ms, 'LIMIT', 0, ARGV[4])) do
  local fields = redis.call('HMGET', job_key(id), 'ready_at', 'owner', 'reply', 'kind')
  if fields[1] and not fields[2] and not fields[3] and not slow[fields[4]] then
    longest_ms = math.max(longest_ms, now - math.max(since_ms, tonumber(fields[1])))
  end
end
return longest_ms >= after_ms and longest_ms or 0
