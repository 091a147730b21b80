-- For how long, in ms, the oldest job waits that somebody should be doing: its lane's first is in a queue or in a process's
-- hands. Not what is held back for the database, is due later, or is an answer that waits for Telegram.
-- ARGV: since when calls are let through, and for how long after that nothing is overdue (ms), from how many ms on it is,
-- looked at at most, then kinds that take their time. Returns 0 where none is overdue.
local since_ms, after_ms, slow = tonumber(ARGV[1]), tonumber(ARGV[3]), {}
for i = 5, #ARGV do slow[ARGV[i]] = true end
if now - since_ms < tonumber(ARGV[2]) then return 0 end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ALL, '-inf', now - after_ms, 'LIMIT', 0, ARGV[4])) do
  local lane = redis.call('HGET', job_key(id), 'lane')
  local head = lane and redis.call('LINDEX', lane_key(lane), 0)
  if head and not redis.call('ZSCORE', HELD_BACK, head) then
    local fields = redis.call('HMGET', job_key(head), 'kind', 'owner', 'published', 'reply')
    if (fields[2] or fields[3]) and not fields[4] and not slow[fields[1]] then
      return now - math.max(since_ms, tonumber(redis.call('ZSCORE', ALL, id)))
    end
  end
end
return 0
