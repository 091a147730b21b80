-- A process ends on purpose. ARGV: process
redis.call('HDEL', WINDOWS, ARGV[1])
redis.call('HDEL', CONNECTIONS, ARGV[1])
return 1
