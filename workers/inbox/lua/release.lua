-- Give a held job back, to be published again after a delay.
-- ARGV: id, owner, delay_ms, undo_delivery (1 or 0), then field, value pairs to keep with it (reply, failure)
local id, owner, delay_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', job_key(id), 'owner') ~= owner then return 0 end
let_go(id)
if ARGV[4] == '1' then redis.call('HINCRBY', job_key(id), 'deliveries', -1) end
for i = 5, #ARGV, 2 do redis.call('HSET', job_key(id), ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', DUE, now + delay_ms, id)
if ARGV[4] == '1' and redis.call('HEXISTS', job_key(id), 'reply') == 0 then note_untold(id) end -- the database is away
return 1
