-- A worker process takes over the job that was claimed for whoever takes its message. It only reads: Redis writes nothing to
-- its disk before it answers. ARGV: id, sequence, queue, bearer_ms, how old the claim may be (ms)
-- Returns {how many messages are left in the queue, how old the claim is (ms), claim, how often somebody chose a language
-- (languages.py)}, or {} if the job is to be claimed: it
-- is held by another, or too little is left of its lease to tell in time who holds it.
local id = ARGV[1]
if redis.call('HGET', job_key(id), 'owner') ~= bearer(ARGV[2]) then return {} end
local age_ms = now + ARGV[4] - tonumber(redis.call('ZSCORE', DUE, id) or '0')
if age_ms > tonumber(ARGV[5]) then return {} end
local fields = redis.call('HMGET', job_key(id), 'envelope', 'deliveries', 'told', 'turn')
return {redis.call('LLEN', ARGV[3]), age_ms, {id, fields[1], tonumber(fields[2]), '', '', 0, 0, now,
  tonumber(fields[3] or '0'), math.max(0, now - tonumber(redis.call('ZSCORE', ALL, id) or now)), 0, 0, 0,
  tonumber(fields[4])}, language_changes()}
