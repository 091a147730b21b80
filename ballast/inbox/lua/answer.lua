-- A job that waits is answered without being done: its answer is put on its record and published now. A process that
-- waits for the database on its behalf no longer holds it. ARGV: id, reply, grace_ms, unless_begun (1 or 0)
-- Returns {id, queue, kind, sequence} of what is to be published now; {} where it is gone, or answered already, or begun.
local id, grace_ms = ARGV[1], tonumber(ARGV[3])
local fields = redis.call('HMGET', job_key(id), 'lane', 'reply', 'begun', 'deliveries')
if not fields[1] or fields[2] then return {} end
if ARGV[4] == '1' and (fields[3] or tonumber(fields[4] or '0') > 0) then return {} end
let_go(id)
first_write('HSET', job_key(id), 'reply', ARGV[2])
redis.call('ZREM', HELD_BACK, id)
if redis.call('LINDEX', lane_key(fields[1]), 0) ~= id then
  -- Not behind what waits on: it goes on in a lane of its own.
  redis.call('LREM', lane_key(fields[1]), 1, id)
  redis.call('HSET', job_key(id), 'lane', 'answer:' .. id)
  redis.call('RPUSH', lane_key('answer:' .. id), id)
end
return mark_published(id, grace_ms)
