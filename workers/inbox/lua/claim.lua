-- A worker process takes a job it was handed. ARGV: id, owner, lease_ms, queue and place of the message ('' = unknown)
-- Returns {} where there is nothing to do: finished, another's turn, or held; a copy is dropped by that.
local id, owner, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if ARGV[4] ~= '' then
  -- Queues are first in, first out: whatever was published before this message and is still unclaimed fell out. It goes
  -- by the message's own place, not by the record's, which is a later one where the job was published again meanwhile.
  local newest = tonumber(redis.call('HGET', CLAIMED, ARGV[4]) or '0')
  if tonumber(ARGV[5]) > newest then first_write('HSET', CLAIMED, ARGV[4], ARGV[5]) end
end
local fields = redis.call('HMGET', job_key(id), 'lane', 'owner', 'envelope', 'reply', 'failure', 'sent', 'uncertain',
  'told', 'unavailable')
if not fields[1] then return {} end
if fields[2] or redis.call('LINDEX', lane_key(fields[1]), 0) ~= id then return {} end
redis.call('HDEL', job_key(id), 'published', 'waits_in', 'ready_at')
redis.call('HSET', job_key(id), 'owner', owner)
redis.call('SADD', held_key(owner), id)
redis.call('ZADD', DUE, now + lease_ms, id)
local deliveries = redis.call('HINCRBY', job_key(id), 'deliveries', 1)
return {fields[3], deliveries, fields[4] or '', fields[5] or '', tonumber(fields[6] or '0'), tonumber(fields[7] or '0'), now,
  tonumber(fields[8] or '0'), math.max(0, now - tonumber(redis.call('ZSCORE', ALL, id) or now)),
  tonumber(fields[9] or '0')}
