-- Jobs of one lane on record again, in their order and before those that came since. What is on record already stays as it
-- is, and takes its place among them if it is in this lane.
-- ARGV: lane, then for each job: id, when it was taken on record, when it is due ('' = now), how many arguments follow for
--       its fields, and these. Returns how many were put back.
local lane, jobs, i = ARGV[1], {}, 2
while i <= #ARGV do
  jobs[#jobs + 1] = i
  i = i + 4 + tonumber(ARGV[i + 3])
end
local today, count = math.floor(time[1] / DAY), 0
for number = #jobs, 1, -1 do
  local first = jobs[number]
  local id, length = ARGV[first], tonumber(ARGV[first + 3])
  if redis.call('EXISTS', job_key(id)) == 0 then
    redis.call('HSET', job_key(id), unpack(ARGV, first + 4, first + 3 + length))
    redis.call('HSET', job_key(id), 'lane', lane)
    -- If it is known as done, that was after the backup, and what it did is gone: it is to be done again.
    for day = today - 1, today do redis.call('SREM', done_key(day), id) end
    redis.call('ZADD', ALL, tonumber(ARGV[first + 1]) or now, id)
    redis.call('ZADD', DUE, math.max(tonumber(ARGV[first + 2]) or now, now), id)
    count = count + 1
  end
  if redis.call('HGET', job_key(id), 'lane') == lane then
    redis.call('LREM', lane_key(lane), 1, id)
    redis.call('LPUSH', lane_key(lane), id)
  end
end
-- Only the head of a lane is due.
for position, id in ipairs(redis.call('LRANGE', lane_key(lane), 0, -1)) do
  if position > 1 then
    redis.call('ZREM', DUE, id)
  elseif not redis.call('ZSCORE', DUE, id) and not redis.call('ZSCORE', HELD_BACK, id) then
    redis.call('ZADD', DUE, now, id)
  end
end
return count
