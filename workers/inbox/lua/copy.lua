-- All jobs of the lane that a job is in, in their order, as they are now. ARGV: id
-- Returns {lane, then for each job: id, when it was taken on record, when it is due ('' = not), its fields}; {} if it is gone.
local lane = redis.call('HGET', job_key(ARGV[1]), 'lane')
if not lane then return {} end
local copied = {lane}
for _, id in ipairs(redis.call('LRANGE', lane_key(lane), 0, -1)) do
  local fields = redis.call('HGETALL', job_key(id))
  if #fields > 0 then
    copied[#copied + 1] = {id, redis.call('ZSCORE', ALL, id) or '', redis.call('ZSCORE', DUE, id) or '', fields}
  end
end
return copied
