-- A process says how its calls went, and hears what the fleet is.
-- ARGV: process, epoch its calls are of, its calls as JSON, look (1: also the others' calls), silent_after,
--       retries wanted, retries kept at most, retries a second,
--       connections wanted, at least, and open; connection budget ('' = none);
--       saturated_ms (0: it found connections to be had)
-- Returns {now, state JSON or '', retries granted, connections granted, whether rows wait to be written, saturated,
--          the move that all are asked about or '', then, with look, 'seen calls' of each process}
local process, epoch, calls, look, silent_after = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local retries_wanted, retries_most, retries_a_second = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local wanted, least, open, budget = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])

local known = redis.call('MGET', STATE, SATURATED, MOVE_ASKED)
local state, saturated = known[1] or '', known[2] and 1 or 0
if epoch == (state ~= '' and cjson.decode(state)['epoch'] or 0) then
  first_write('HSET', WINDOWS, process, string.format('%.3f', now) .. ' ' .. calls)
end

local granted_retries = 0
if retries_wanted > 0 then
  local bucket = redis.call('HMGET', RETRIES, 'tokens', 'at')
  local tokens = tonumber(bucket[1]) or retries_most
  tokens = math.min(retries_most, tokens + math.max(0, now - (tonumber(bucket[2]) or now)) * retries_a_second)
  granted_retries = math.min(retries_wanted, math.floor(tokens))
  redis.call('HSET', RETRIES, 'tokens', tokens - granted_retries, 'at', string.format('%.3f', now))
end

local granted = reserve(process, wanted, least, open, budget, silent_after)

if tonumber(ARGV[13]) > 0 then
  redis.call('SET', SATURATED, 1, 'PX', ARGV[13])
  saturated = 1
end

local answer = {
  string.format('%.6f', now), state, granted_retries, granted,
  redis.call('EXISTS', EVENTS, UNWRITTEN), saturated, known[3] or '',
}
if look == '1' then
  local all = redis.call('HGETALL', WINDOWS)
  for i = 1, #all, 2 do
    local seen = tonumber(string.match(all[i + 1], '^[%d.]+'))
    if now - seen <= silent_after then answer[#answer + 1] = all[i + 1] end
  end
end
return answer
