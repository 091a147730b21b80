-- A worker process says that it lives. ARGV: owner, report ('' = none), report_ttl_ms, then name and count of what it
-- counted since it began: the same count told twice counts once. Returns what it holds, without a report nothing.
first_write('ZADD', OWNERS, now, ARGV[1])
if ARGV[2] ~= '' then redis.call('SET', 'ballast:worker:' .. ARGV[1], ARGV[2], 'PX', ARGV[3]) end
local told = TOTALS .. ':' .. ARGV[1]
for i = 4, #ARGV, 2 do
  local more = tonumber(ARGV[i + 1]) - tonumber(redis.call('HGET', told, ARGV[i]) or '0')
  if more > 0 then
    redis.call('HINCRBY', TOTALS, ARGV[i], more)
    redis.call('HSET', told, ARGV[i], ARGV[i + 1])
  end
end
if #ARGV >= 4 then redis.call('EXPIRE', told, DAY) end
return ARGV[2] == '' and {} or redis.call('SMEMBERS', held_key(ARGV[1]))
