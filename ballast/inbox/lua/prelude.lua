-- Shared by every script of the inbox. Time is Redis's own: hosts' clocks may differ. All but `accept` go on while Redis is
-- out of memory, by `first_write`: they are what frees it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local DAY = 86400

local function job_key(id) return 'ballast:inbox:job:' .. id end
local function lane_key(lane) return 'ballast:inbox:lane:' .. lane end
local function held_key(owner) return 'ballast:inbox:held:' .. owner end
local function done_key(day) return 'ballast:inbox:done:' .. day end
local ALL, DUE, OWNERS = 'ballast:inbox:all', 'ballast:inbox:due', 'ballast:inbox:owners'
local TAKERS = 'ballast:inbox:takers'
local IDLE = 'ballast:inbox:idle'
local HELD_BACK, UNTOLD, SHUT = 'ballast:inbox:held_back', 'ballast:inbox:untold', 'ballast:inbox:shut'
local TOTALS = 'ballast:totals'
-- A job's field `told`: its user was told that it waits; or that it is late, and it was not known then that it waits; or so,
-- and it is known now.
local TOLD, LATE, LATE_AND_WAITS = '1', '2', '3'
local SEQUENCE, CLAIMED = 'ballast:inbox:sequence', 'ballast:inbox:claimed'

-- Where a job goes next: its own queue, or `replies` once only the answer is left.
local function queue_of(id)
  if redis.call('HEXISTS', job_key(id), 'reply') == 1 then return 'replies' end
  return redis.call('HGET', job_key(id), 'queue')
end

-- What carries on with a job: its own kind, or what sends an answer.
local function kind_of(id)
  if redis.call('HEXISTS', job_key(id), 'reply') == 1 then return 'replies.deliver' end
  return redis.call('HGET', job_key(id), 'kind')
end

-- The caller publishes it right after; should that get lost, it is looked at again after the grace.
local function mark_published(id, grace_ms)
  local queue = queue_of(id)
  local sequence = first_write('HINCRBY', SEQUENCE, queue, 1)
  redis.call('HSET', job_key(id), 'published', sequence, 'waits_in', queue)
  redis.call('HSETNX', job_key(id), 'ready_at', now) -- published again, it has waited since the first time
  redis.call('ZADD', DUE, now + grace_ms, id)
  return {id, queue, kind_of(id), tostring(sequence)}
end

-- Who holds a job that was claimed in the step that recorded it: whoever takes its message, which is there once. It says so by
-- BEARERS_MARK behind its sequence. The process that takes it is the owner from its next beat on.
local function bearer(sequence) return 'bearer:' .. sequence end
local function is_bearer(owner) return string.sub(owner, 1, 7) == 'bearer:' end

-- sequence -- of the message with which the process took the job over, '' if it claimed it.
local function is_held_by(id, owner, sequence)
  local holder = redis.call('HGET', job_key(id), 'owner')
  return holder == owner or (sequence ~= '' and holder == bearer(sequence))
end

local function let_go(id)
  local owner = redis.call('HGET', job_key(id), 'owner')
  if owner then
    redis.call('SREM', held_key(owner), id)
    redis.call('HDEL', job_key(id), 'owner', 'ready_at')
  end
end

-- The lane in which a job takes its turn. One that was queued for a person has two: `main`, where what they write is, and
-- `lane` beside that, as long as jobs wait there. Any other has `lane`, and '' for `main`.
local function lane_now(lane, main)
  if main == '' or redis.call('EXISTS', lane_key(lane)) == 1 then return lane end
  return main
end

-- Put a job in a lane: right behind `after`, which queued it, and what that queued before; at the end if that is not in the
-- lane. Returns how many are in it.
local function enter_lane(id, lane, after)
  if after ~= '' and redis.call('HGET', job_key(after), 'lane') == lane then
    local last = redis.call('HGET', job_key(after), 'followed_by') or after
    local length = redis.call('LINSERT', lane_key(lane), 'AFTER', last, id)
    if length < 1 then length = redis.call('LINSERT', lane_key(lane), 'AFTER', after, id) end
    if length > 0 then
      redis.call('HSET', job_key(after), 'followed_by', id)
      return length
    end
  end
  return redis.call('RPUSH', lane_key(lane), id)
end

-- The job waits for the database, and so does what is behind it in its lane: their user is to be told, once for each. One
-- that was told before, for it is late, is only to be counted.
local function note_untold(id)
  for _, waiting in ipairs(redis.call('LRANGE', lane_key(redis.call('HGET', job_key(id), 'lane')), 0, -1)) do
    local told = redis.call('HGET', job_key(waiting), 'told')
    if not told or told == LATE then
      first_write('HSET', job_key(waiting), 'told', told and LATE_AND_WAITS or TOLD)
      redis.call('RPUSH', UNTOLD, waiting)
    end
  end
end
