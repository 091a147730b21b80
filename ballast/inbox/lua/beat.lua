-- A worker process says that it lives. ARGV: owner, report ('' = none), report_ttl_ms, lease_ms, whether it can take jobs
-- over (1 or 0), how many it took over since the last beat, id and sequence of each, then name and count of what it counted
-- since it began: the same count told twice counts once. Returns Redis's time (ms), then what it holds, without a report
-- nothing.
first_write('ZADD', OWNERS, now, ARGV[1])
if ARGV[5] == '1' then redis.call('ZADD', TAKERS, now, ARGV[1]) end
local first = 7 + 2 * ARGV[6]
for i = 7, first - 1, 2 do
  local id = ARGV[i]
  if redis.call('HGET', job_key(id), 'owner') == bearer(ARGV[i + 1]) then
    redis.call('HSET', job_key(id), 'owner', ARGV[1])
    redis.call('HDEL', job_key(id), 'published', 'waits_in', 'ready_at')
    redis.call('SADD', held_key(ARGV[1]), id)
    redis.call('ZADD', DUE, now + ARGV[4], id)
  end
end
if ARGV[2] ~= '' then redis.call('SET', 'ballast:worker:' .. ARGV[1], ARGV[2], 'PX', ARGV[3]) end
local told = TOTALS .. ':' .. ARGV[1]
for i = first, #ARGV, 2 do
  local more = tonumber(ARGV[i + 1]) - tonumber(redis.call('HGET', told, ARGV[i]) or '0')
  if more > 0 then
    redis.call('HINCRBY', TOTALS, ARGV[i], more)
    redis.call('HSET', told, ARGV[i], ARGV[i + 1])
  end
end
if #ARGV >= first then redis.call('EXPIRE', told, DAY) end
local held = ARGV[2] == '' and {} or redis.call('SMEMBERS', held_key(ARGV[1]))
table.insert(held, 1, now)
return held
