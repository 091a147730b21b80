-- Write something down on jobs' records, if they are still there. ARGV: for each id, field, value. Returns for each whether
-- it was.
local noted = {}
for i = 1, #ARGV, 3 do
  local is_there = redis.call('EXISTS', job_key(ARGV[i]))
  if is_there == 1 then first_write('HSET', job_key(ARGV[i]), ARGV[i + 1], ARGV[i + 2]) end
  noted[#noted + 1] = is_there
end
return noted
