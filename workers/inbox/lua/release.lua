-- Give a held job back, to be published again after a delay.
-- ARGV: id, owner, delay_ms, undo_delivery (1 or 0), tell that it waits for the database (1 or 0), seen_at_ms, how many
-- pairs, so many pairs of field, value to keep with it (reply, failure, ...), then the balances that were seen then, as
-- note_balances takes them.
local id, owner, delay_ms, balances_at = ARGV[1], ARGV[2], tonumber(ARGV[3]), 8 + 2 * ARGV[7]
if redis.call('HGET', job_key(id), 'owner') ~= owner then return 0 end
let_go(id)
if ARGV[4] == '1' then redis.call('HINCRBY', job_key(id), 'deliveries', -1) end
for i = 8, balances_at - 1, 2 do redis.call('HSET', job_key(id), ARGV[i], ARGV[i + 1]) end
note_balances(ARGV[6] / 1000, balances_at)
redis.call('ZADD', DUE, now + delay_ms, id)
if ARGV[5] == '1' and redis.call('HEXISTS', job_key(id), 'reply') == 0 then note_untold(id) end
return 1
