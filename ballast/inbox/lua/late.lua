-- Jobs whose users are to be told now that their answer is late. ARGV: ids.
-- Returns id and envelope of each that is still on record without an answer, and whose user was not told that it waits.
local late = {}
for _, id in ipairs(ARGV) do
  local fields = redis.call('HMGET', job_key(id), 'envelope', 'reply', 'failure')
  if fields[1] and not fields[2] and not fields[3] and first_write('HSETNX', job_key(id), 'told', LATE) == 1 then
    late[#late + 1] = id
    late[#late + 1] = fields[1]
  end
end
return late
