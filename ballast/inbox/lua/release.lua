-- Give a held job back, to be published again after a delay.
-- ARGV: id, owner, delay_ms, undo_delivery (1 or 0), tell that it waits for the database (1 or 0), seen_at_ms, how many
-- pairs, whether what was queued is to wait beside the commands of its lane from here on (1 or 0), sequence (of is_held_by), so
-- many pairs of field, value to keep with it (reply, failure, ...), then the balances that were seen then, as note_balances
-- takes them.
local id, owner, delay_ms, balances_at = ARGV[1], ARGV[2], tonumber(ARGV[3]), 10 + 2 * ARGV[7]
if not is_held_by(id, owner, ARGV[9]) then return 0 end

-- Nobody's commands wait for a job that asked to be done later, nor does what a command queued wait for that one. Queued
-- jobs keep their order: all of them go.
local function part()
  local lane = redis.call('HGET', job_key(id), 'lane')
  for _, each in ipairs(redis.call('LRANGE', lane_key(lane), 0, -1)) do
    local beside = redis.call('HGET', job_key(each), 'beside')
    if beside and beside ~= lane then
      redis.call('LREM', lane_key(lane), 1, each)
      redis.call('HSET', job_key(each), 'lane', beside)
      if redis.call('RPUSH', lane_key(beside), each) > 1 then
        redis.call('ZREM', DUE, each)
      elseif each ~= id then
        redis.call('ZADD', DUE, now, each)
      end
    end
  end
  local head = redis.call('LINDEX', lane_key(lane), 0)
  if head and head ~= id then redis.call('ZADD', DUE, now, head) end
end

let_go(id)
if ARGV[4] == '1' then redis.call('HINCRBY', job_key(id), 'deliveries', -1) end
for i = 10, balances_at - 1, 2 do redis.call('HSET', job_key(id), ARGV[i], ARGV[i + 1]) end
note_balances(ARGV[6] / 1000, balances_at)
redis.call('ZADD', DUE, now + delay_ms, id)
if ARGV[8] == '1' then part() end
if ARGV[5] == '1' and redis.call('HEXISTS', job_key(id), 'reply') == 0 then note_untold(id) end
return 1
