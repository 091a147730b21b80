-- What is to be published again: jobs of dead owners, jobs whose delay is over, jobs that fell out of a queue.
-- ARGV: limit, grace_ms, lease_ms, owner_dead_after_ms, bearer_ms (of accept), then the queues and kinds that are shut.
-- Returns {how many were looked at, dispatches}.
local limit, grace_ms, lease_ms, dead_after_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bearer_ms, FIRST_SHUT = tonumber(ARGV[5]), 6
local HANGING_MS = 500
local LONG_QUEUE_MS = 8000
local shut = {}
for i = FIRST_SHUT, #ARGV do shut[ARGV[i]] = true end

local function is_shut(id)
  local queue = queue_of(id)
  return shut[queue] or (queue ~= 'replies' and shut[redis.call('HGET', job_key(id), 'kind')])
end

local function is_put_off(id) return redis.call('HEXISTS', job_key(id), 'joins') == 1 end

-- A job's time has come: it goes to the end of its lane. Returns whether it is its turn.
local function is_its_turn(id)
  if not is_put_off(id) then return true end
  local fields = redis.call('HMGET', job_key(id), 'joins', 'main', 'lane')
  local lane = lane_now(fields[1], fields[2])
  first_write('DEL', lane_key(fields[3]))
  redis.call('HSET', job_key(id), 'lane', lane)
  redis.call('HDEL', job_key(id), 'joins', 'main')
  if enter_lane(id, lane, '') == 1 then return true end
  redis.call('ZREM', DUE, id)
  return false
end

-- Whether nobody took the message of a job that was claimed ahead: its queue was empty then, so it is the next one.
local function is_next(queue, sequence)
  local raw = redis.call('LINDEX', queue, -1)
  return raw and string.find(raw, '"' .. sequence .. BEARERS_MARK .. '"', 1, true)
end

-- Where nobody at all has beaten lately it was Redis that stood still, not they: give them time to be heard.
local newest = redis.call('ZREVRANGE', OWNERS, 0, 0, 'WITHSCORES')
if newest[2] and now - tonumber(newest[2]) > 0.75 * dead_after_ms then
  first_write('SET', 'ballast:inbox:grace', 1, 'PX', dead_after_ms)
end
-- The second is what the last release calls it, whose worker may have written it a moment ago.
local is_grace = redis.call('EXISTS', 'ballast:inbox:grace', 'ballast:inbox:amnesty') > 0
local dead = {}
if not is_grace then
  dead = redis.call('ZRANGEBYSCORE', OWNERS, '-inf', now - dead_after_ms, 'LIMIT', 0, 10)
end
for _, owner in ipairs(dead) do
  for _, id in ipairs(redis.call('SMEMBERS', held_key(owner))) do
    if redis.call('HGET', job_key(id), 'owner') == owner then
      redis.call('HDEL', job_key(id), 'owner')
      redis.call('ZADD', DUE, 0, id) -- before all others: its user waits already
    end
  end
  redis.call('DEL', held_key(owner))
  redis.call('ZREM', OWNERS, owner)
  redis.call('ZREM', TAKERS, owner)
end

-- Where something else is shut than the last time, all that was held back is due, and by its age before all others.
-- One step for all of it, which is one job a lane: those of 20,000 people took 50 ms on a busy machine.
local shut_now = table.concat(ARGV, ' ', FIRST_SHUT)
if (redis.call('GET', SHUT) or '') ~= shut_now then
  first_write('ZUNIONSTORE', DUE, 2, DUE, HELD_BACK, 'AGGREGATE', 'MIN')
  redis.call('DEL', HELD_BACK)
  redis.call('SET', SHUT, shut_now)
end

if #ARGV >= FIRST_SHUT then
  -- Who waits for a call that hangs is told too, and not only once its deadline is over.
  for _, owner in ipairs(redis.call('ZRANGE', OWNERS, 0, -1)) do
    for _, id in ipairs(redis.call('SMEMBERS', held_key(owner))) do
      local again = redis.call('ZSCORE', DUE, id) -- the lease's end
      if again and tonumber(again) - lease_ms <= now - HANGING_MS and is_shut(id) then note_untold(id) end
    end
  end
end

local dispatches = {}
-- While queues are shut, what waits in them is looked at before its time, so that its user hears.
local horizon = #ARGV < FIRST_SHUT and now or now + grace_ms + LONG_QUEUE_MS
local function is_looked_at(id)
  local due_at = tonumber(redis.call('ZSCORE', DUE, id))
  if due_at <= now then return true end
  if due_at > now + grace_ms and redis.call('HEXISTS', job_key(id), 'published') == 0 then return false end
  return is_shut(id) and not is_put_off(id)
end
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', horizon, 'LIMIT', 0, limit)) do
  if is_looked_at(id) then due[#due + 1] = id end
end
for _, id in ipairs(due) do
  local fields = redis.call('HMGET', job_key(id), 'lane', 'owner', 'published', 'waits_in')
  local is_claimed_ahead = fields[2] and is_bearer(fields[2])
  if not fields[1] then
    redis.call('ZREM', DUE, id)
  elseif fields[2] and redis.call('ZSCORE', OWNERS, fields[2]) then
    first_write('ZADD', DUE, now + lease_ms, id) -- a long job of a live process
  elseif is_claimed_ahead and tonumber(redis.call('ZSCORE', DUE, id)) > now then
    -- Its queue is shut, but who took its message may be at work on it, and will say so with the next beat.
    if tonumber(redis.call('ZSCORE', DUE, id)) - bearer_ms <= now - HANGING_MS then note_untold(id) end
  elseif is_claimed_ahead and is_grace then
    first_write('ZADD', DUE, now + dead_after_ms, id)
  elseif is_its_turn(id) then
    local queue = fields[4]
    local is_untaken = is_claimed_ahead and is_next(queue, fields[3])
    if is_untaken then redis.call('HINCRBY', job_key(id), 'deliveries', -1) end
    if fields[2] then let_go(id) end
    local ahead = queue and tonumber(fields[3]) - tonumber(redis.call('HGET', CLAIMED, queue) or '0')
    if is_shut(id) then
      redis.call('ZREM', DUE, id)
      redis.call('ZADD', HELD_BACK, redis.call('ZSCORE', ALL, id) or now, id)
      redis.call('HDEL', job_key(id), 'ready_at')
      note_untold(id)
    elseif fields[3] and ahead >= 0 and QUEUES[queue] and redis.call('LLEN', queue) > 0 and
        (is_untaken or not is_claimed_ahead) then -- claimed ahead, its queue was empty: its message is the next one, or gone
      -- It waits its turn in a long queue: no second copy, and no look at it before its turn may come, at 1,000 a second.
      first_write('ZADD', DUE, now + grace_ms + math.min(ahead, LONG_QUEUE_MS), id)
      redis.call('HSETNX', job_key(id), 'ready_at', now) -- it was held back, or comes from the release before
    else
      dispatches[#dispatches + 1] = mark_published(id, grace_ms)
    end
  end
end
return {#due, dispatches}
