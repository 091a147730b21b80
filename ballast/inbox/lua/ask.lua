-- A held job asks its user something: the dialogue begins, once for each job. What it asked before may be answered by now.
-- ARGV: id, owner, dialogue key, dialogue, ttl_seconds, sequence (of is_held_by)
local id = ARGV[1]
if not is_held_by(id, ARGV[2], ARGV[6]) then return 0 end
if first_write('HSETNX', job_key(id), 'asked', 1) == 0 then return 0 end
redis.call('SET', ARGV[3], ARGV[4], 'EX', ARGV[5])
return 1
