-- Write something down on a job's record, if it is still there. ARGV: id, field, value. Returns whether it was.
if redis.call('EXISTS', job_key(ARGV[1])) == 0 then return 0 end
first_write('HSET', job_key(ARGV[1]), ARGV[2], ARGV[3])
return 1
