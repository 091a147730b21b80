-- Users have their answers: remove the records, remember the ids, and hand out the next jobs of their lanes.
-- ARGV: grace_ms, a process that waits for a job and its worker ('' = none), then for each job: id, seen_at_ms, how many
--       arguments follow for the balances that were seen then, and these, as note_balances takes them.
-- Returns for each {notice} or, with the next job to be published now, {notice, id, queue, kind, sequence}; {} where there
-- was no record.
local grace_ms = tonumber(ARGV[1])
local today = done_key(math.floor(time[1] / DAY))

local function finish(id, seen_at, first, last)
  local lane = redis.call('HGET', job_key(id), 'lane')
  local notice = redis.call('HGET', job_key(id), 'notice') or ''
  if not lane then return {} end
  let_go(id)
  first_write('SADD', today, id)
  note_balances(seen_at, first, last)
  redis.call('EXPIRE', today, 2 * DAY)
  local kind, queue, told = unpack(redis.call('HMGET', job_key(id), 'kind', 'queue', 'told'))
  if told then finish_waiting_job(id, now / 1000) end
  local took_ms = math.max(0, now - tonumber(redis.call('ZSCORE', ALL, id) or now))
  local bucket = 'inf'
  for _, bound in ipairs(ANSWER_MS) do
    if took_ms <= bound then
      bucket = bound
      break
    end
  end
  redis.call('HINCRBY', TOTALS, 'jobs_done|' .. (kind or ''), 1)
  redis.call('HINCRBY', TOTALS, 'answers|' .. (queue or '') .. '|' .. bucket, 1)
  redis.call('HINCRBY', TOTALS, 'answers_ms|' .. (queue or ''), took_ms)
  redis.call('DEL', job_key(id))
  redis.call('ZREM', ALL, id)
  redis.call('ZREM', DUE, id)
  local was_head = redis.call('LINDEX', lane_key(lane), 0) == id
  redis.call('LREM', lane_key(lane), 1, id)
  local head = redis.call('LINDEX', lane_key(lane), 0)
  if not head or not was_head then return {notice} end
  local dispatch = mark_published(head, grace_ms)
  return {notice, dispatch[1], dispatch[2], dispatch[3], dispatch[4]}
end

local finished, i = {}, 3
while i <= #ARGV do
  local last = i + 2 + tonumber(ARGV[i + 2])
  finished[#finished + 1] = finish(ARGV[i], ARGV[i + 1] / 1000, i + 3, last)
  i = last + 1
end
if ARGV[2] ~= '' then
  redis.pcall('ZADD', IDLE, now, ARGV[2])
  redis.call('ZREMRANGEBYSCORE', IDLE, '-inf', now - 1000 * DAY) -- of processes that died
end
return finished
