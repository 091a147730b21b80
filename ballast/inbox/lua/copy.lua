-- All jobs of the lanes that these jobs are in, in their order, as they are now. It ends early once it has many.
-- ARGV: how many are many, then ids
-- Returns {how many of the ids it looked at, then for each lane {its name, then for each job: id, when it was taken on
-- record, when it is due ('' = not), its fields}}.
local many, copied, seen, count, looked_at = tonumber(ARGV[1]), {}, {}, 0, 0
for i = 2, #ARGV do
  if count >= many then break end
  looked_at = looked_at + 1
  local lane = redis.call('HGET', job_key(ARGV[i]), 'lane')
  if lane and not seen[lane] then
    seen[lane] = true
    local jobs = {lane}
    for _, id in ipairs(redis.call('LRANGE', lane_key(lane), 0, -1)) do
      local fields = redis.call('HGETALL', job_key(id))
      if #fields > 0 then
        jobs[#jobs + 1] = {id, redis.call('ZSCORE', ALL, id) or '', redis.call('ZSCORE', DUE, id) or '', fields}
        count = count + 1
      end
    end
    copied[#copied + 1] = jobs
  end
end
return {looked_at, copied}
