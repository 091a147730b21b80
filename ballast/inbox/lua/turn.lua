-- Whether the turn of an answer in the job's chat is taken along: the rate limiter need not be asked for it, if it goes soon.
local function turn_of(envelope)
  local is_json, job = pcall(cjson.decode, envelope)
  if not is_json or type(job) ~= 'table' or type(job.chat_id) ~= 'number' then return 0 end
  return take_turn(string.format('%d', job.chat_id))
end
