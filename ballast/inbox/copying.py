"""The inbox as lines of text, and back: a backup's part that PostgreSQL does not have.

It is copied before the database is dumped, and that order is what the promise hangs on. A job that is in the copy and
was done before the dump is done again and answered REPLAYED, for its effect is in the dump under its key. A job that
was done before it was copied has its effect in the dump. The other way round, a job that was done between the dump and
the copy would be in neither.

A lane is copied in one step, so its jobs keep their order. Lanes are copied one after the other, while the bot goes on:
a job that changed its lane meanwhile may be in the copy twice, and the later line counts; one that is finished
meanwhile is said to be so at the end. Each line is a JSON list that begins with what it is: `lane`, `finished` (ids
that were done after they were copied), `done` (a day, and ids that were finished then), `text` (a key, its value, and
for how many ms it is kept).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

import redis

from ballast.inbox.scripts import Scripts
from dbcore.redis_client import redis_time

T = TypeVar("T")

_AT_ONCE = 1_000
_JOBS_AT_ONCE = 100
"""Of whole lanes, so that Redis stands still for a few milliseconds at most."""

_ALL = "ballast:inbox:all"
_DONE = "ballast:inbox:done:"
_DONE_KEPT_SECONDS = 2 * 86_400

_TEXTS = ("ballast:inbox:key:", "ballast:dialogue:", "ballast:button:")
"""What operators' keys stand for, where people are in a dialogue, and what apps' buttons stand for."""

_FORGOTTEN = ("ballast:balances:", "ballast:held:", "ballast:answer:", "ballast:broadcast", "ballast:board")
"""What Redis knows of a database that is older again: last balances by their accounts' versions, results of broadcasts
by leases whose numbers come again, and what pages show.
"""

_OF_A_HOLDER = frozenset({"lane", "owner", "published", "waits_in", "ready_at", "unknown_since"})
"""Fields that say who holds a job, or in which of Celery's queues it waits."""


class InboxCopier:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        scripts = Scripts(client)
        self._copy, self._put_back = scripts.load("copy"), scripts.load("put_back")

    def copy(self) -> Iterator[str]:
        """The lines, while the bot goes on. What is on record when this begins is in them, or done before it ends."""
        copied: set[str] = set()
        for ids in _batches(_texts(name for name, _ in self._redis.zscan_iter(_ALL, count=_AT_ONCE))):
            while ids := [job_id for job_id in ids if job_id not in copied]:
                looked_at, lanes = self._copy(args=[_JOBS_AT_ONCE, *ids])
                ids = ids[looked_at:]
                for lane, *jobs in lanes:
                    lines = [_job(*job) for job in jobs]
                    copied.update(line[0] for line in lines)
                    if lines:
                        yield _line("lane", lane.decode(), lines)
        finished = []
        for key in _texts(self._redis.scan_iter(f"{_DONE}*", count=_AT_ONCE)):
            for ids in _batches(_texts(self._redis.sscan_iter(key, count=_AT_ONCE))):
                finished += [job_id for job_id in ids if job_id in copied]
                yield _line("done", key.removeprefix(_DONE), ids)
        yield _line("finished", finished)
        for key in _texts(self._redis.scan_iter("ballast:*", count=_AT_ONCE, _type="string")):
            if key.startswith(_TEXTS):
                value, kept_ms = self._redis.get(key), self._redis.pttl(key)
                if value is not None:
                    yield _line("text", key, cast(bytes, value).decode(), kept_ms)

    def put_back(self, read: Iterable[str], read_again: Iterable[str]) -> int:
        """Put the copy into the inbox, beside what is in it; how many jobs are on record again.

        read, read_again -- the lines, twice: which of a job's lines counts is known at the end.
        For a database that was restored from the same backup. No process may be running.
        """
        self.forget()
        last, finished = _what_counts(read)
        count = 0
        for batch in _batches(enumerate(read_again)):
            with (
                self._redis.pipeline(transaction=False) as jobs_back,
                self._redis.pipeline(transaction=False) as pipeline,
            ):
                for number, line in batch:
                    match json.loads(line):
                        case ["lane", lane, jobs]:
                            kept = [job for job in jobs if last[job[0]] == number and job[0] not in finished]
                            if kept:
                                self._put_back(args=list(_arguments(lane, kept)), client=jobs_back)
                        case ["done", day, ids]:
                            pipeline.sadd(_DONE + day, *ids)
                            pipeline.expire(_DONE + day, _DONE_KEPT_SECONDS)
                        case ["text", key, value, kept_ms]:
                            pipeline.set(key, value, nx=True, px=kept_ms if kept_ms > 0 else None)
                count += sum(jobs_back.execute())
                pipeline.execute()
        return count

    def forget(self) -> None:
        """What is known of a database that is older again."""
        for keys in _batches(_texts(self._redis.scan_iter("ballast:*", count=_AT_ONCE))):
            if gone := [key for key in keys if key.startswith(_FORGOTTEN)]:
                self._redis.unlink(*gone)


def _what_counts(lines: Iterable[str]) -> tuple[dict[str, int], set[str]]:
    """The number of each job's last line, and those that were done after they were copied."""
    last: dict[str, int] = {}
    finished: set[str] = set()
    for number, line in enumerate(lines):
        match json.loads(line):
            case ["lane", _, jobs]:
                last.update((job[0], number) for job in jobs)
            case ["finished", ids]:
                finished.update(ids)
    return last, finished


def _job(job_id: bytes, taken: bytes, due: bytes, fields: list[bytes]) -> list[Any]:
    record = dict(zip(_texts(fields[::2]), _texts(fields[1::2]), strict=True))
    # Held, or in a queue: nobody holds it any more once it is put back.
    waits = "owner" not in record and "published" not in record
    kept = {name: value for name, value in record.items() if name not in _OF_A_HOLDER}
    return [job_id.decode(), taken.decode(), due.decode() if waits else "", kept]


def _arguments(lane: str, jobs: list[list[Any]]) -> Iterator[str | int | bytes]:
    yield lane
    for job_id, taken, due, record in jobs:
        yield from (job_id, taken, due, 2 * len(record))
        for name, value in record.items():
            yield from (name, value.encode(errors="surrogateescape"))


def _line(*parts: Any) -> str:
    return json.dumps(parts)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """A job's record is what it was: what is no UTF-8 comes back the same."""
    return (cast(bytes, value).decode(errors="surrogateescape") for value in values)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch


def is_running(client: redis.Redis, dead_after_seconds: float) -> bool:
    """Whether a worker process has beaten within this time. Raises redis.RedisError."""
    since_ms = 1000 * (redis_time(client) - dead_after_seconds)
    return client.zcount("ballast:inbox:owners", since_ms, "+inf") > 0
