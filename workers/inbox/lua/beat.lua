-- A worker process says that it lives. ARGV: owner, report, report_ttl_ms. Returns what it holds.
redis.call('ZADD', OWNERS, now, ARGV[1])
redis.call('SET', 'ballast:worker:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
return redis.call('SMEMBERS', held_key(ARGV[1]))
