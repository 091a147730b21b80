-- Forget that a job was finished, so that it can be accepted again under its own id. ARGV: id
local today = math.floor(time[1] / DAY)
for day = today - 1, today do redis.call('SREM', done_key(day), ARGV[1]) end
return 1
