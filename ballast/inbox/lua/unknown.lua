-- A worker was handed a job of a kind, or a queue, that it does not know: a newer frontend's, most likely, whose workers
-- are on their way. ARGV: id, patience_ms, again_ms, grace_ms, failure, kind and queue that fail it.
-- Returns {} while that is waited for, and the job's dispatch once it is to be failed; {} too where nothing is to be done.
local id, job = ARGV[1], job_key(ARGV[1])
if redis.call('EXISTS', job) == 0 or redis.call('HEXISTS', job, 'owner') == 1 then return {} end
first_write('HSETNX', job, 'unknown_since', now)
if now - tonumber(redis.call('HGET', job, 'unknown_since')) < tonumber(ARGV[2]) then
  redis.call('HDEL', job, 'published', 'waits_in', 'ready_at')
  redis.call('ZADD', DUE, now + ARGV[3], id)
  return {}
end
redis.call('HSET', job, 'failure', ARGV[5], 'kind', ARGV[6], 'queue', ARGV[7])
return mark_published(id, tonumber(ARGV[4]))
