-- A worker process ends on purpose: what it still holds is due at once. ARGV: owner
local owner = ARGV[1]
for _, id in ipairs(redis.call('SMEMBERS', held_key(owner))) do
  if redis.call('HGET', job_key(id), 'owner') == owner then
    redis.call('HDEL', job_key(id), 'owner')
    redis.call('ZADD', DUE, now, id)
  end
end
redis.call('DEL', held_key(owner), 'ballast:worker:' .. owner, TOTALS .. ':' .. owner)
redis.call('ZREM', OWNERS, owner)
redis.call('ZREM', TAKERS, owner)
return 1
