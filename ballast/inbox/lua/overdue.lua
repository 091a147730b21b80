-- For how long, in ms, a job has waited for a worker to begin it, and its queue: the longest such wait, or 0 where none
-- is overdue. A job that a process has begun, that is due later, or that is held back for the database does not wait; nor
-- does an answer, which may be waiting for Telegram; nor what is in a queue that an operator paused, or resumed just now.
-- Only the head of a lane can wait. One that a process took behind
-- another waits as in the queue.
-- ARGV: since when calls are let through, and for how long after that nothing is overdue (ms), from how many ms on it is,
-- looked at at most, then kinds that take their time.
local since_ms, after_ms, slow = tonumber(ARGV[1]), tonumber(ARGV[3]), {}
for i = 5, #ARGV do slow[ARGV[i]] = true end
if now - since_ms < tonumber(ARGV[2]) then return {0, ''} end
local counts_from = {}
local function counts_from_of(name)
  if counts_from[name] == nil then
    local resumed = tonumber(redis.call('HGET', 'ballast:queues:resumed', name) or 0)
    local is_left_alone = redis.call('HEXISTS', 'ballast:queues:paused', name) == 1 or now - resumed < tonumber(ARGV[2])
    counts_from[name] = is_left_alone and now or math.max(since_ms, resumed)
  end
  return counts_from[name]
end
local longest_ms, queue = 0, ''
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ALL, '-inf', now - after_ms, 'LIMIT', 0, ARGV[4])) do
  local fields = redis.call('HMGET', job_key(id), 'ready_at', 'reply', 'kind', 'queue')
  if fields[1] and not fields[2] and not slow[fields[3]] then
    local waits_ms = now - math.max(counts_from_of(fields[4]), tonumber(fields[1]))
    if waits_ms > longest_ms then longest_ms, queue = waits_ms, fields[4] end
  end
end
if longest_ms < after_ms then return {0, ''} end
return {longest_ms, queue}
