"""The rate limiter: one budget of sends for the whole fleet, in Redis, with Redis's own clock.

A reply to somebody's own message is not bulk, and Telegram publishes no limit for it: it goes at once until Telegram
says 429. Bulk stays below the published ceilings from the start, and gives way to replies, which take their part of the
same budget first.

A 429 concerns what was refused. A chat that was refused waits, and gets one message a second for a while after that. A
method that nobody waits for, such as setMyCommands, waits. Only if several chats are refused within a moment is it the
bot that sends too much: then the whole fleet pauses, for half a minute at most, and goes on with a smaller share of the
pace, replies too, and the share grows back.

    ballast:pace                 hash     halted_until, share, share_at; of each budget its tokens, and when it had them
    ballast:pace:chat:<id>       string   sent to within the last second
    ballast:pace:group:<id>      list     when the last twenty were sent to this group
    ballast:pace:waits:<id>      string   there for as long as Telegram wants nothing for this chat
    ballast:pace:flooded:<id>    string   Telegram refused a message to this chat for its pace
    ballast:pace:refused         zset     chats refused within the last moment -> when
    ballast:pace:method:<name>   string   there for as long as Telegram wants no request of this method
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import redis

FREE_PER_SECOND = 30
PAID_PER_SECOND = 1000
"""Telegram's ceilings for bulk, for one bot."""

FREE_MARGIN = 0.99
"""Of the free ceiling that is aimed for. It is told as "about 30", so some way below it."""

PAID_MARGIN = 0.999
"""Of the paid ceiling, which is told as a number. Clocks that are kept by NTP differ by half of this at most; what
bunches up on the way evens out, and is a quarter of a second's worth at most. One 429 costs a second of nothing and a
minute at nine tenths, as much as this margin does in two hours; without it there might be two an hour.
"""

SHARE_MIN = 0.25
SHARE_AFTER_FLOOD = 0.8
SHARE_REGAINED_A_MINUTE = 0.2

SEVERAL_CHATS = 3
REFUSED_MOMENT_SECONDS = 3.0
"""So many chats refused within so long: Telegram refuses the bot, and not its chats."""

HALT_SECONDS_MIN, HALT_SECONDS_MAX = 1.0, 30.0
"""For which the whole fleet pauses. If Telegram names a longer time, the refused chats wait that long; the others are
tried after this, and another few refusals pause the fleet again at a smaller share.
"""

FLOODED_CHAT_SECONDS = 600
GROUP_MESSAGES_A_MINUTE = 20

WAIT_MS_MIN = 10
"""A shorter wait is not worth a question."""

_KEY = "ballast:pace"

_PRELUDE = f"""
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stored = redis.call('HMGET', '{_KEY}', 'halted_until', 'share', 'share_at')
local halted_until = tonumber(stored[1]) or 0
local share = math.min(1, (tonumber(stored[2]) or 1)
  + math.max(0, now - (tonumber(stored[3]) or now)) * {SHARE_REGAINED_A_MINUTE} / 60000)

-- a token is one message; a quarter of a second's worth is the most that gathers, and never less than four
local function tokens_of(budget, rate)
  local kept = redis.call('HMGET', '{_KEY}', budget, budget .. '_at')
  local gathered = math.max(0, now - (tonumber(kept[2]) or 0)) * rate / 1000
  return math.min(math.max(4, rate / 4), (tonumber(kept[1]) or 0) + gathered)
end
local function keep_tokens(budget, tokens)
  redis.call('HSET', '{_KEY}', budget, tokens, budget .. '_at', now)
end
local function group_wait(group, pieces)
  local excess = redis.call('LLEN', group) + pieces - {GROUP_MESSAGES_A_MINUTE}
  if excess <= 0 then return 0 end
  return math.max(0, tonumber(redis.call('LINDEX', group, excess - 1)) + 60000 - now)
end
local function chat_wait(chat_id)
  return math.max(0, redis.call('PTTL', '{_KEY}:waits:' .. chat_id))
end
local function note_sent(chat_id, pieces)
  redis.call('SET', '{_KEY}:chat:' .. chat_id, 1, 'PX', 1000)
  if tonumber(chat_id) < 0 then
    local group = '{_KEY}:group:' .. chat_id
    for _ = 1, pieces do redis.call('RPUSH', group, now) end
    redis.call('LTRIM', group, -{GROUP_MESSAGES_A_MINUTE}, -1)
    redis.call('PEXPIRE', group, 60000)
  end
end
"""

_CLEAR = f"""
-- Whether nothing keeps a reply from this chat, and nothing could within a moment.
local function is_clear(chat_id)
  return share == 1 and halted_until <= now and tonumber(chat_id) > 0 and chat_wait(chat_id) == 0
    and redis.call('EXISTS', '{_KEY}:flooded:' .. chat_id) == 0
end
"""

# ARGV: chats. Answers for each 1 if it is clear. It only reads: Redis writes nothing to its disk before it answers.
_IS_CLEAR = f"""{_CLEAR}
local answer = {{}}
for i = 1, #ARGV do answer[i] = is_clear(ARGV[i]) and 1 or 0 end
return answer
"""

TURN_LUA = f"""{_PRELUDE}{_CLEAR}
-- 1 if a reply may go to this chat at once: it is counted then. 0 if the limiter is to be asked. Never writes first.
local function take_turn(chat_id)
  if not is_clear(chat_id) then return 0 end
  local rate = {FREE_MARGIN * FREE_PER_SECOND}
  keep_tokens('free', math.max(-rate, tokens_of('free', rate) - 1))
  note_sent(chat_id, 1)
  return 1
end
"""
"""For any script that gives a reply its turn along with what else it does."""

TURN_SECONDS = 0.25
"""For so long a turn that was taken beforehand is good. Then a chat may have been refused since."""

# ARGV: the free rate, then for each reply its chat and its pieces. Answers the share in thousandths, then for each the
# wait in ms (0: go).
_INTERACTIVE = f"""
local rate = ARGV[1] * share
local tokens = tokens_of('free', rate)
local answer, granted = {{math.floor(share * 1000)}}, false

local function wait_of(chat_id, pieces)
  local wait = math.max(0, halted_until - now, chat_wait(chat_id))
  if wait == 0 and tonumber(chat_id) < 0 then wait = group_wait('{_KEY}:group:' .. chat_id, pieces) end
  if wait == 0 and redis.call('EXISTS', '{_KEY}:flooded:' .. chat_id) == 1 then
    wait = math.max(0, redis.call('PTTL', '{_KEY}:chat:' .. chat_id))
  end
  if wait == 0 and share < 1 and tokens < 1 then wait = math.ceil((1 - tokens) * 1000 / rate) end
  return wait
end

for i = 2, #ARGV, 2 do
  local chat_id, pieces = ARGV[i], tonumber(ARGV[i + 1])
  local wait = wait_of(chat_id, pieces)
  if wait == 0 then
    tokens = math.max(-rate, tokens - pieces)
    granted = true
    note_sent(chat_id, pieces)
    answer[#answer + 1] = 0
  else
    answer[#answer + 1] = math.max({WAIT_MS_MIN}, wait)
  end
end
if granted then keep_tokens('free', tokens) end
return answer
"""

# KEYS: the hash of a grant log, if there is one.
# ARGV: budget, its rate, what of it is left to replies, the pieces that each gets, the log's holder and what it writes,
# then for each its chat and its field in the log. An album is granted where one message would be, and the budget waits
# off what the others cost.
# Answers the wait in ms for those not granted, the share in thousandths, the places of those granted, the places of
# those whose chat Telegram refused, each with its wait in ms, and 1 if the log is another holder's.
_BULK = f"""
local budget, rate, reserve = ARGV[1], ARGV[2] * share, tonumber(ARGV[3])
local pieces = tonumber(ARGV[4])
local granted, refused = {{}}, {{}}
local answer = {{0, math.floor(share * 1000), granted, refused, 0}}
if KEYS[1] and redis.call('HGET', KEYS[1], '') ~= ARGV[5] then
  answer[5] = 1
  return answer
end
if halted_until > now then
  answer[1] = halted_until - now
  return answer
end
local tokens = tokens_of(budget, rate)
local wait = 0
for i = 7, #ARGV, 2 do
  local chat_id, place = ARGV[i], (i - 7) / 2
  local refusal = chat_wait(chat_id)
  if refusal > 0 then
    refused[#refused + 1] = place
    refused[#refused + 1] = refusal
  elseif tokens - reserve < 1 then
    wait = math.max(20, math.ceil((1 + reserve - tokens) * 1000 / rate))
    break
  else
    local turn = math.max(0, redis.call('PTTL', '{_KEY}:chat:' .. chat_id))
    if tonumber(chat_id) < 0 then turn = math.max(turn, group_wait('{_KEY}:group:' .. chat_id, pieces)) end
    if turn > 0 then
      wait = wait == 0 and turn or math.min(wait, turn)
    else
      tokens = tokens - pieces
      note_sent(chat_id, pieces)
      granted[#granted + 1] = place
      if KEYS[1] then redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[6]) end
    end
  end
end
keep_tokens(budget, tokens)
answer[1] = wait > 0 and math.max({WAIT_MS_MIN}, wait) or 0
return answer
"""

# ARGV: how many ms, and the chat that was refused. Many hear one 429 at once: it pauses the fleet, and costs the share,
# once. Answers how many ms the fleet pauses for, 0 where it goes on, and the share in thousandths.
_REFUSE_CHAT = f"""
local ms, chat_id = tonumber(ARGV[1]), ARGV[2]
if chat_wait(chat_id) < ms then redis.call('SET', '{_KEY}:waits:' .. chat_id, 1, 'PX', ms) end
redis.call('SET', '{_KEY}:flooded:' .. chat_id, 1, 'PX', ms + {1000 * FLOODED_CHAT_SECONDS})
if halted_until <= now then
  local moment = {1000 * REFUSED_MOMENT_SECONDS:.0f}
  redis.call('ZREMRANGEBYSCORE', '{_KEY}:refused', '-inf', now - moment)
  redis.call('ZADD', '{_KEY}:refused', now, chat_id)
  redis.call('PEXPIRE', '{_KEY}:refused', moment)
  local chats = redis.call('ZRANGE', '{_KEY}:refused', 0, -1)
  if #chats >= {SEVERAL_CHATS} then
    local pause = {1000 * HALT_SECONDS_MAX:.0f}
    for _, each in ipairs(chats) do pause = math.min(pause, chat_wait(each)) end
    halted_until = now + math.max({1000 * HALT_SECONDS_MIN:.0f}, pause)
    share = math.max({SHARE_MIN}, share * {SHARE_AFTER_FLOOD})
    redis.call('HSET', '{_KEY}', 'halted_until', halted_until, 'share', share, 'share_at', halted_until)
    redis.call('DEL', '{_KEY}:refused')
  end
end
return {{math.max(0, halted_until - now), math.floor(share * 1000)}}
"""

_REPLIES_RESERVE = 2
"""Tokens of the free budget that bulk leaves for replies."""


def method_key(method: str) -> str:
    """There for as long as Telegram wants no request of this method."""
    return f"{_KEY}:method:{method}"


@dataclass(frozen=True, slots=True)
class GrantLog:
    """Where it is written down who is granted, in the same step: a hash in Redis, while its field "" says `holder`.

    fields -- by chat, its field, which gets `value`.
    """

    key: str
    holder: str
    value: str
    fields: Mapping[int, int]


@dataclass(frozen=True)
class BulkGrant:
    """Who may be sent to now, and after how long to ask for the others.

    refused -- chats that Telegram wants nothing for, and for how many seconds still.
    superseded -- another holder has the log by now, so nobody was granted.
    """

    granted: tuple[int, ...]
    retry_after_seconds: float
    refused: Mapping[int, float] = field(default_factory=dict)
    superseded: bool = False


class RateLimiter:
    """Raises redis.RedisError wherever Redis cannot be asked. Replies go without it then; bulk does not."""

    def __init__(self, client: redis.Redis) -> None:
        self._is_clear = client.register_script(_PRELUDE + _IS_CLEAR)
        self._interactive = client.register_script(_PRELUDE + _INTERACTIVE)
        self._bulk = client.register_script(_PRELUDE + _BULK)
        self._refuse_chat = client.register_script(_PRELUDE + _REFUSE_CHAT)
        self._redis = client
        self._share = 1.0

    def are_clear(self, chat_ids: Sequence[int]) -> list[bool]:
        """Whether a reply to each of these chats may go at once, and be counted by `interactive` while it is sent."""
        return [answer == 1 for answer in cast(list[int], self._is_clear(args=chat_ids))]

    def interactive(self, chat_id: int, *, pieces: int = 1) -> float:
        """0.0 where a reply may go to this chat now (it is counted then), else after how many seconds to ask again.

        pieces -- messages that it is, of an album.
        """
        return self.interactive_many([(chat_id, pieces)])[0]

    def interactive_many(self, replies: Sequence[tuple[int, int]]) -> list[float]:
        """The same for each of these, in one step, in their order.

        replies -- chat and pieces of each.
        """
        arguments = [FREE_MARGIN * FREE_PER_SECOND, *(number for reply in replies for number in reply)]
        share, *waits_ms = cast(list[int], self._interactive(args=arguments))
        self._share = share / 1000
        return [wait_ms / 1000 for wait_ms in waits_ms]

    def bulk(
        self, chat_ids: Sequence[int], *, paid: bool, pieces: int = 1, log: GrantLog | None = None
    ) -> BulkGrant:
        """Whom of these a broadcast may send to now; they are counted. One message, or one album, a second to a chat.

        pieces -- messages that each of them gets: an album takes as much of the budget.
        paid -- sent with `allow_paid_broadcast`, which has a budget of its own.
        log -- gets who is granted.
        """
        budget = ["paid", PAID_MARGIN * PAID_PER_SECOND, 0] if paid else self._free_budget()
        keys, logged, fields = ([log.key], [log.holder, log.value], log.fields) if log else ([], ["", ""], {})
        pairs = [item for chat_id in chat_ids for item in (chat_id, fields.get(chat_id, ""))]
        wait_ms, share, granted, refused, superseded = cast(
            "tuple[int, int, list[int], list[int], int]",
            self._bulk(keys=keys, args=[*budget, pieces, *logged, *pairs]),
        )
        self._share = share / 1000
        waits = zip(refused[::2], refused[1::2], strict=True)
        return BulkGrant(
            tuple(chat_ids[place] for place in granted),
            wait_ms / 1000,
            {chat_ids[place]: refusal_ms / 1000 for place, refusal_ms in waits},
            superseded == 1,
        )

    def refuse_chat(self, chat_id: int, seconds: float) -> float:
        """Telegram answered 429 to a send to this chat: it waits for so long.

        Returns for how many seconds the whole fleet pauses, because several chats were refused; 0.0 where it goes on.
        """
        pause_ms, share = cast(list[int], self._refuse_chat(args=[math.ceil(1000 * seconds), chat_id]))
        self._share = share / 1000
        return pause_ms / 1000

    def refuse_method(self, method: str, seconds: float) -> None:
        """Telegram answered 429 to a request that nobody waits for: no process asks it again for so long."""
        self._redis.set(method_key(method), 1, px=math.ceil(1000 * seconds))

    def method_wait(self, method: str) -> float:
        """For how many seconds no request of this method is to be made."""
        return self.method_waits([method])[0]

    def method_waits(self, methods: Sequence[str]) -> list[float]:
        """The same for each of these, in one round trip."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for method in methods:
                pipeline.pttl(method_key(method))
            return [max(0, wait_ms) / 1000 for wait_ms in pipeline.execute()]

    def rate(self, *, paid: bool) -> float:
        """Messages a second of the whole fleet, at the share that this process heard of last."""
        return self._share * (PAID_MARGIN * PAID_PER_SECOND if paid else FREE_MARGIN * FREE_PER_SECOND)

    @staticmethod
    def _free_budget() -> list[str | float]:
        return ["free", FREE_MARGIN * FREE_PER_SECOND, _REPLIES_RESERVE]
