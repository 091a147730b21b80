-- Jobs whose users are to be told now that their answer is late. ARGV: how many at most, ids.
-- Returns how many ids were looked at, then id and envelope of each that is still on record without an answer, and whose
-- user was not told that it waits.
local late = {#ARGV - 1}
for i = 2, #ARGV do
  local id = ARGV[i]
  local fields = redis.call('HMGET', job_key(id), 'envelope', 'reply', 'failure')
  if fields[1] and not fields[2] and not fields[3] and first_write('HSETNX', job_key(id), 'told', LATE) == 1 then
    late[#late + 1] = id
    late[#late + 1] = fields[1]
    if #late == 1 + 2 * ARGV[1] then
      late[1] = i - 1
      break
    end
  end
end
return late
