-- A worker process takes the job it was handed, and more that wait in the same queue.
-- ARGV: owner, lease_ms, queue of the message ('' = unknown), id of its job ('' = none), its sequence ('' = unknown; with
--       BEARERS_MARK if the message bears the claim),
--       how many more, then the tasks that those may be of.
-- Returns {how many messages are left in the queue, claims, how often somebody chose a language (languages.py)}. The job it was handed is not among them if there is
-- nothing to do: it is finished, another is before it, or it is held; a copy is dropped by that.
local owner, lease_ms, queue, handed, sequence, more = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local tasks = {}
for i = 7, #ARGV do tasks[ARGV[i]] = true end

-- Queues are first in, first out: whatever was published before this message and is still unclaimed fell out. It goes by
-- the message's own sequence, not by the record's, which is a later one where the job was published again meanwhile.
local function note_place(number)
  local newest = tonumber(redis.call('HGET', CLAIMED, queue) or '0')
  if number and number > newest then first_write('HSET', CLAIMED, queue, string.format('%d', number)) end
end

-- A job that is taken behind another one goes on waiting. bears -- the message is the one that this job was claimed for.
local function claim(id, number, bears, is_behind)
  local fields = redis.call('HMGET', job_key(id), 'lane', 'owner', 'envelope', 'reply', 'failure', 'sent', 'uncertain',
    'told', 'unavailable', 'tries', 'begun')
  if not fields[1] then return nil end
  local was_claimed = fields[2] and bears and fields[2] == bearer(number)
  if (fields[2] and not was_claimed) or redis.call('LINDEX', lane_key(fields[1]), 0) ~= id then return nil end
  redis.call('HDEL', job_key(id), 'published', 'waits_in')
  if not is_behind then redis.call('HDEL', job_key(id), 'ready_at') end
  redis.call('HSET', job_key(id), 'owner', owner)
  redis.call('SADD', held_key(owner), id)
  redis.call('ZADD', DUE, now + lease_ms, id)
  local deliveries = redis.call('HINCRBY', job_key(id), 'deliveries', was_claimed and 0 or 1)
  return {id, fields[3], deliveries, fields[4] or '', fields[5] or '', tonumber(fields[6] or '0'),
    tonumber(fields[7] or '0'), now, tonumber(fields[8] or '0'),
    math.max(0, now - tonumber(redis.call('ZSCORE', ALL, id) or now)), tonumber(fields[9] or '0'),
    tonumber(fields[10] or '0'), tonumber(fields[11] or '0'), turn_of(fields[3])}
end

-- The number of a sequence, and whether the message bears the claim.
local function read_sequence(text)
  local number, mark = string.match(text, '^(%d+)(%+?)$')
  return tonumber(number), mark == BEARERS_MARK
end

-- The id and the sequence that a message of the inbox names. nil for any other: Celery knows what to do with it.
local function read(raw)
  local is_json, message = pcall(cjson.decode, raw)
  if not is_json or type(message) ~= 'table' or type(message.headers) ~= 'table' then return nil end
  local headers = message.headers
  if type(headers.task) ~= 'string' or not tasks[headers.task] then return nil end
  if type(headers.id) ~= 'string' or type(headers.place) ~= 'string' then return nil end
  if type(headers.eta) == 'string' or type(headers.expires) == 'string' then return nil end
  return headers.id, read_sequence(headers.place)
end

local claims = {}
if handed ~= '' then
  local number, bears = read_sequence(sequence)
  note_place(number)
  claims[1] = claim(handed, number, bears)
  -- What was begun before and not finished may be what ends processes: nothing else is to end with it.
  if claims[1] and claims[1][3] > 1 then more = 0 end
end
local room = #claims + more
for _ = 1, 2 * more do
  if #claims >= room then break end
  local raw = redis.call('LINDEX', queue, -1)
  local id, number, bears = nil, nil, nil
  if raw then id, number, bears = read(raw) end
  if not id then break end
  local fields = redis.call('HMGET', job_key(id), 'lane', 'owner', 'deliveries')
  -- One that is done, or an operator's call: Celery's. One that was begun before: see above.
  if not fields[1] or (not fields[2] and tonumber(fields[3] or '0') > 0) then break end
  redis.call('RPOP', queue)
  note_place(number)
  claims[#claims + 1] = claim(id, number, bears, #claims > 0)
end
return {queue == '' and 0 or redis.call('LLEN', queue), claims, language_changes()}
