-- Take jobs on record, in the order they come.
-- ARGV: grace_ms, lane_max, bearer_ms (the lease of a claim for whoever takes the message), fresh_ms (how old a worker's
--       beat may be), then for each job twenty: id, lane, main lane ('' = none), the job that queued it ('' = none),
--       for how long it is put off (ms), queue, kind, envelope, total_max, failure ('' = none),
--       dialogue key ('' = none), dialogue expected ('' = absent), dialogue next ('' = delete), its ttl_seconds, waited_ms,
--       and Celery's message in four parts, between which its sequence belongs twice, and the claim ('' = the caller
--       publishes it), and whether a process that waits may be handed it directly (1 or 0)
-- Returns for each {status}, or {status, id, queue, kind, sequence} where the caller is to publish the job now, or
-- {'conflict', dialogue}. It ends at the first conflict: the jobs behind it have no answer, and are not on record. Before
-- them: how often somebody chose a language (languages.py).
local grace_ms, lane_max, bearer_ms, fresh_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local IDLE_ASKED_MAX = 8
local today = math.floor(time[1] / DAY)

-- Whether the job is claimed along with its record, for whoever takes its message: a worker takes it at once, as far as can
-- be told, and each worker process knows what the mark means.
local function is_taken_at_once(queue)
  if redis.pcall('LLEN', queue) ~= 0 or (redis.call('GET', SHUT) or '') ~= '' then return false end
  local takers = redis.call('ZCOUNT', TAKERS, now - fresh_ms, '+inf')
  return takers > 0 and takers == redis.call('ZCARD', OWNERS)
end

local function claim_for_bearer(id, sequence)
  redis.call('HSET', job_key(id), 'owner', bearer(sequence), 'deliveries', 1)
  redis.call('ZADD', DUE, now + bearer_ms, id)
end

-- Whether a worker that heard of everything at once would take a job of this queue. By SHUT it is known a moment later.
local function is_flowing(queue)
  local breaker = redis.pcall('GET', BREAKER) or ''
  local is_open = type(breaker) ~= 'string' or (breaker ~= '' and not string.find(breaker, '"state":"closed"', 1, true))
  return not is_open and redis.call('HEXISTS', PAUSED, queue) == 0
end

-- Hand a job that is claimed for its bearer to a process that waits for one: of those the one that worked last. Returns
-- whether a process got it. A dead one's channel has nobody on it, and one of a worker that is drained takes no more jobs.
local function hand_over(id, queue, kind, sequence, claim)
  for _ = 1, IDLE_ASKED_MAX do
    local process = redis.call('ZPOPMAX', IDLE)[1]
    if not process then return false end
    local owner, worker = string.match(process, '^(%S+) (.*)$')
    local listening = owner and redis.pcall('PUBSUB', 'NUMSUB', DIRECT .. owner)[2] -- nil where that is not allowed
    if listening and listening > 0 and redis.call('HEXISTS', DRAINS, worker) == 0 then
      local job = cjson.encode({id, queue, kind, sequence .. BEARERS_MARK, claim})
      if type(redis.pcall('PUBLISH', DIRECT .. owner, job)) == 'number' then return true end
    end
  end
  return false
end

local function accept(id, beside, main, after, delay_ms, queue, kind, envelope, total_max, failure, dialogue, expected,
    following, dialogue_ttl, waited_ms, message_begin, message_middle, message_place_end, message_end,
    is_direct)
  if redis.call('SISMEMBER', done_key(today), id) == 1 or redis.call('SISMEMBER', done_key(today - 1), id) == 1 then
    return {'done'}
  end
  if redis.call('EXISTS', job_key(id)) == 1 then
    return {'known'} -- should its first intake have died before the publish, the rescuer does it
  end
  local lane, delay = lane_now(beside, main), tonumber(delay_ms)
  -- What the lane's own job queues cannot wait for room in it, or the job would wait for itself.
  if lane == main and after ~= '' and redis.call('LLEN', lane_key(lane)) >= 2 * lane_max then lane = beside end
  local room = lane == main and after ~= '' and 2 * lane_max or lane_max
  if delay == 0 and redis.call('LLEN', lane_key(lane)) >= room then
    redis.call('HINCRBY', TOTALS, 'jobs_refused|full', 1)
    return {'full'}
  end
  if redis.call('ZCARD', ALL) >= tonumber(total_max) then
    redis.call('HINCRBY', TOTALS, 'jobs_refused|crowded', 1)
    return {'crowded'}
  end
  if dialogue ~= '' then
    local current = redis.call('GET', dialogue) or ''
    if current ~= expected then return {'conflict', current} end
  end
  -- The first write, which is refused while Redis is out of memory.
  redis.call('HSET', job_key(id), 'lane', lane, 'queue', queue, 'kind', kind, 'envelope', envelope)
  if dialogue ~= '' then
    if following == '' then
      redis.call('DEL', dialogue)
    else
      redis.call('SET', dialogue, following, 'EX', dialogue_ttl)
    end
  end
  if failure ~= '' then redis.call('HSET', job_key(id), 'failure', failure) end
  redis.call('ZADD', ALL, now - waited_ms + delay, id)
  redis.call('HINCRBY', TOTALS, 'jobs_accepted|' .. kind, 1)
  if main ~= '' then redis.call('HSET', job_key(id), 'beside', beside) end
  if delay > 0 then
    -- It comes when its time has come: until then it is in a lane of its own.
    redis.call('HSET', job_key(id), 'lane', 'later:' .. id, 'joins', beside, 'main', main)
    redis.call('RPUSH', lane_key('later:' .. id), id)
    redis.call('ZADD', DUE, now + delay, id)
    return {'accepted'}
  end
  if enter_lane(id, lane, after) == 1 then
    local dispatch = mark_published(id, grace_ms)
    if message_begin ~= '' then
      local is_claimed = failure == '' and is_taken_at_once(dispatch[2])
      local mark = is_claimed and BEARERS_MARK or ''
      -- Whoever takes the message needs nothing else (CarriedClaim of records.py).
      local claim = is_claimed and {now, tonumber(waited_ms), turn_of(envelope), envelope}
      if claim and is_direct == '1' and is_flowing(dispatch[2]) and
          hand_over(id, dispatch[2], dispatch[3], dispatch[4], claim) then
        claim_for_bearer(id, dispatch[4])
        return {'accepted'}
      end
      local message = message_begin .. dispatch[4] .. message_middle .. dispatch[4] .. mark .. message_place_end ..
        (claim and cjson.encode(claim) or 'null') .. message_end
      -- Refused, such as by a key of another type, it leaves the record as it is: the caller tries, and then the rescuer.
      if type(redis.pcall('LPUSH', dispatch[2], message)) == 'number' then
        if is_claimed then claim_for_bearer(id, dispatch[4]) end
        return {'accepted'}
      end
    end
    return {'accepted', dispatch[1], dispatch[2], dispatch[3], dispatch[4]}
  end
  -- It came behind a job that waits for the database, from a frontend that may not know of that yet.
  local head = redis.call('LINDEX', lane_key(lane), 0)
  if redis.call('ZSCORE', HELD_BACK, head) then note_untold(head) end
  return {'accepted'}
end

local receipts = {language_changes()}
for first = 5, #ARGV, 20 do
  local receipt = accept(unpack(ARGV, first, first + 19))
  receipts[#receipts + 1] = receipt
  if receipt[1] == 'conflict' then break end
end
return receipts
