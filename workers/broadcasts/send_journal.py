"""What a sender did with its lease, in Redis: the intent before each send, the result after it.

So that, when a sender died, whoever comes next can tell apart the three that the table cannot: a known result is that
result, an intent without one may have been delivered and is unknown, and who has neither was not sent to. A record is
there before its lease is, and goes once all that the lease held is in the table. So a lease without one is from before
Redis lost its data, or of a program that keeps none, and everything it holds is unknown. That no job makes a new record
for an old lease, the epoch sees to: a word that is lost with the data, and is part of a lease's number.

A record has one holder. Who takes it over gets all that is in it, and from then on the one before writes nothing more
and, since nobody is sent to without an intent, sends nothing more either: a process that was taken for dead and is not
does no harm.

    ballast:broadcast:lease:<number>    hash     "" -> the holder; user id -> "sending", or the result as JSON
    ballast:broadcast:epoch             string   drawn when Redis was empty
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import cast

import redis
import structlog

from ballast.status import counters
from ballast.telegram.rate_limiter import GrantLog
from dbcore.broadcasts.leases import DeliveryStatus, Mark, Result

log = structlog.get_logger(__name__)

KEPT_SECONDS = 7 * 24 * 3600
"""After a death it is read within seconds, or when the database is back."""

_INTENT = "sending"
_EPOCH = "ballast:broadcast:epoch"

_DRAW_EPOCH = """
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
"""
# ARGV: holder, seconds, and the epoch where a record is to be made; without it, false where there is none.
_TAKE = """
if ARGV[3] then
  if redis.call('GET', KEYS[2]) ~= ARGV[3] then return false end
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local before = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], '', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return before
"""
_WRITE = """
if redis.call('HGET', KEYS[1], '') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 1
"""
_FORGET = """
if redis.call('HGET', KEYS[1], '') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def lease_number(job_id: str, epoch: str) -> int:
    """The lease that a job's sender asks for: the same each time the job runs, until Redis loses its data."""
    return int.from_bytes(hashlib.blake2b(f"{epoch} {job_id}".encode(), digest_size=8).digest()) >> 1


class SendJournal:
    """Raises redis.RedisError wherever Redis cannot be asked; what was to be written may be written then."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._draw_epoch = client.register_script(_DRAW_EPOCH)
        self._take = client.register_script(_TAKE)
        self._write = client.register_script(_WRITE)
        self._forget = client.register_script(_FORGET)

    def begin(self, job_id: str, holder: str) -> tuple[int, dict[int, Result]]:
        """Become the holder of a job's record, new or not. Returns the job's lease, and what became of those that were
        begun by holders before.
        """
        epoch = cast(bytes, self._draw_epoch(keys=[_EPOCH], args=[uuid.uuid4().hex])).decode()
        number = lease_number(job_id, epoch)
        answer = self._take(keys=[_key(number), _EPOCH], args=[holder, KEPT_SECONDS, epoch])
        if answer is None:
            raise redis.ConnectionError("Redis lost its data just now")
        return number, _results(answer)

    def take_over(self, number: int, holder: str) -> dict[int, Result] | None:
        """Become the holder of a record that another's job began. None where there is no record, and none is made."""
        answer = self._take(keys=[_key(number)], args=[holder, KEPT_SECONDS])
        return None if answer is None else _results(answer)

    def holds(self, number: int, holder: str) -> bool:
        """Whether nobody took it over since: then nobody was begun with that `holder` does not know of."""
        return bool(self._write(keys=[_key(number)], args=[holder]))

    def intents(self, number: int, holder: str, asked: Mapping[int, int]) -> GrantLog:
        """For the rate limiter, which writes down who is about to be sent to. Nobody may be if another holds the record
        by now.

        asked -- user ids by chat.
        """
        return GrantLog(_key(number), holder, _INTENT, asked)

    def note(self, number: int, holder: str, results: Mapping[int, Result]) -> bool:
        """What became of them; PENDING says that they were certainly not sent to. False where another holds it."""
        pairs = [item for user_id, result in results.items() for item in (user_id, _written(result))]
        return bool(self._write(keys=[_key(number)], args=[holder, *pairs]))

    def forget(self, number: int, holder: str) -> None:
        """The results are in the table."""
        self._forget(keys=[_key(number)], args=[holder])

    def count(self, results: Iterable[Result]) -> None:
        """They are in the table: add them to the fleet's totals. For the eye alone, so without Redis it is left."""
        ended = Counter(result.status for result in results if result.status is not DeliveryStatus.PENDING)
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for status, number in ended.items():
                    pipeline.hincrby(counters.KEY, counters.name_of("recipients", status), number)
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("recipients_not_counted", error=type(error).__name__)


def _key(number: int) -> str:
    return f"ballast:broadcast:lease:{number}"


def _results(answer: list[bytes]) -> dict[int, Result]:
    fields = dict(zip(answer[::2], answer[1::2], strict=True))
    fields.pop(b"", None)
    return {int(user_id): _read(int(user_id), value.decode()) for user_id, value in fields.items()}


def _written(result: Result) -> str:
    if result.status is DeliveryStatus.PENDING:
        return ""
    return json.dumps([result.status, result.message_ids, result.error, result.mark])


def _read(user_id: int, value: str) -> Result:
    if value == _INTENT:
        return Result(user_id, DeliveryStatus.UNKNOWN, error="the sender died before it knew")
    status, message_ids, error, mark = json.loads(value)
    return Result(user_id, DeliveryStatus(status), tuple(message_ids), error, mark and Mark(mark))
