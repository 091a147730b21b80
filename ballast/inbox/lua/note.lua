-- Write something down on jobs' records, if they are still there, and take a turn. ARGV: for each id, field, value, and the
-- chat to which a reply is to go next ('' = none). Returns for each whether it was there, and whether the turn is taken.
local noted = {}
for i = 1, #ARGV, 4 do
  local is_there = redis.call('EXISTS', job_key(ARGV[i]))
  if is_there == 1 then first_write('HSET', job_key(ARGV[i]), ARGV[i + 1], ARGV[i + 2]) end
  noted[#noted + 1] = is_there
  noted[#noted + 1] = is_there == 1 and ARGV[i + 3] ~= '' and take_turn(ARGV[i + 3]) or 0
end
return noted
