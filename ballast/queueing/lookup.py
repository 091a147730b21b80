"""What became of the job that a person's reference stands for: on record, finished lately, or failed.

A reference is made of the job's id and cannot be turned back, so it is compared with the ids that there are: at most a
few hundred thousand. Nothing is kept for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, cast

import redis
from pydantic import ValidationError

from ballast.builtin.status import REFERENCE
from ballast.inbox.limits import SIZE_MAX
from ballast.queueing.envelope import APPS_LANE, Envelope, queue_of, reference_of
from ballast.queueing.kinds import WRITING_KINDS
from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.breaker import FleetView
from dbcore.redis_client import redis_time
from dbcore.sentences import Sentence, nsentence, sentence

LOOKED_AT_MAX = 1_000_000
"""Ids of jobs that were finished: of more than these not all are looked at."""

_AT_ONCE = 2_000
_PLACES = SIZE_MAX
"""Of jobs that were taken on record in one millisecond."""

_DAY = 86_400
_JOB = "ballast:inbox:job:"


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job on record, or one that was finished today or yesterday, of which only the id is known.

    state -- held_back, queued, running, behind (others of its lane), delayed, answering or finished.
    whose -- the Telegram id, and the name as Telegram said it. since -- seconds since 1970, by Redis's clock.
    waits_for -- what stands behind "it waits for"; empty where it waits for nothing.
    """

    reference: str
    job_id: str
    state: str
    kind: str | None = None
    telegram_id: int | None = None
    username: str | None = None
    since: float | None = None
    age_seconds: float | None = None
    deliveries: int = 0
    waits_for: Sentence | str = ""

    def as_json(self, say: Callable[[Sentence | str], str] = str) -> dict[str, Any]:
        """say -- for whom its words are; in English by default."""
        return {**asdict(self), "waits_for": say(self.waits_for)}


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """next_place -- where the next page begins; None after the last one."""

    items: list[FoundJob]
    next_place: int | None


def normal(reference: str) -> str | None:
    """As it is written down; None for what is no reference."""
    text = re.sub(r"[\s.()]", "", reference).upper().removeprefix("REF")
    return text if re.fullmatch(REFERENCE, text) else None


def find(
    client: redis.Redis, reference: str, view: FleetView | None, *, finished_max: int = LOOKED_AT_MAX
) -> FoundJob | None:
    """None where there is no such job on record, and none was finished since yesterday. Raises redis.RedisError."""
    for job_id in _scanned(client, "ballast:inbox:all"):
        if reference_of(job_id) == reference:
            found = _on_record(client, reference, job_id, view)
            if found is not None:
                return found
    today, looked_at = int(redis_time(client)) // _DAY, 0
    for day in (today, today - 1):
        for job_id in _members(client, f"ballast:inbox:done:{day}"):
            if reference_of(job_id) == reference:
                return FoundJob(reference, job_id, "finished")
            looked_at += 1
            if looked_at >= finished_max:
                return None
    return None


def _on_record(client: redis.Redis, reference: str, job_id: str, view: FleetView | None) -> FoundJob | None:
    record = cast(dict[bytes, bytes], client.hgetall(_JOB + job_id))
    taken_ms = client.zscore("ballast:inbox:all", job_id)
    if not record or taken_ms is None:
        return None
    telegram_id, username = _requester(record)
    kind = record.get(b"kind", b"").decode() or None
    state, waits_for = _state(client, job_id, record, kind, view)
    since = float(taken_ms) / 1000
    return FoundJob(
        reference,
        job_id,
        state,
        kind,
        telegram_id,
        username,
        since,
        round(max(0.0, redis_time(client) - since), 3),
        int(record.get(b"deliveries", 0)),
        waits_for,
    )


def _requester(record: dict[bytes, bytes]) -> tuple[Any, Any]:
    try:
        return Envelope.model_validate_json(record.get(b"envelope", b"")).requester
    except ValidationError:
        return None, None


def _state(
    client: redis.Redis, job_id: str, record: dict[bytes, bytes], kind: str | None, view: FleetView | None
) -> tuple[str, Sentence | str]:
    lane = record.get(b"lane", b"").decode()
    ahead = cast("int | None", client.lpos(f"ballast:inbox:lane:{lane}", job_id))
    if ahead:
        first = cast(bytes, client.lindex(f"ballast:inbox:lane:{lane}", 0) or b"").decode()
        named = {"reference": reference_of(first)}
        if lane.startswith(APPS_LANE):
            return "behind", nsentence(
                "{count} job of the same lane, the first with reference {reference}",
                "{count} jobs of the same lane, the first with reference {reference}",
                ahead,
                **named,
            )
        return "behind", nsentence(
            "{count} job of the same user, the first with reference {reference}",
            "{count} jobs of the same user, the first with reference {reference}",
            ahead,
            **named,
        )
    if b"reply" in record:
        return "answering", sentence("Telegram to take its answer")
    if client.zscore("ballast:inbox:held_back", job_id) is not None:
        return "held_back", _what_holds(view)
    if b"owner" in record and b"published" not in record:
        return "running", ""
    if b"published" in record:
        if view is not None and _is_held(kind, view):
            return "held_back", _what_holds(view)
        return "queued", sentence("a worker of queue {queue}", queue=record[b"waits_in"].decode())
    return "delayed", sentence("its next try")


def _what_holds(view: FleetView | None) -> Sentence:
    if view is None or not view.paused:
        return sentence("the database")
    if view.paused_by:
        return sentence("the end of the pause by {operator}", operator=view.paused_by)
    return sentence("the end of the pause by an operator")


def _is_held(kind: str | None, view: FleetView) -> bool:
    if view.is_read_only:
        return kind in WRITING_KINDS
    return view.is_open and kind is not None and queue_of(kind) in DATABASE_QUEUES


def _scanned(client: redis.Redis, key: str) -> Iterable[str]:
    for job_id, _ in client.zscan_iter(key, count=_AT_ONCE):
        yield cast(bytes, job_id).decode()


def _members(client: redis.Redis, key: str) -> Iterable[str]:
    for job_id in client.sscan_iter(key, count=_AT_ONCE):
        yield cast(bytes, job_id).decode()


def waiting(client: redis.Redis, view: FleetView | None, *, place: int | None, limit: int) -> WaitingPage:
    """A page of the jobs on record, whoever has waited longest first. Only these are read, however many there are.

    place -- the `next_place` of the page before. A place is the millisecond in which a job was taken on record, and how
    many of that millisecond were seen: it holds while other jobs come and go. Raises redis.RedisError.
    """
    began_ms, seen = divmod(place or 0, _PLACES)
    ids = cast(
        list[tuple[bytes, float]],
        client.zrangebyscore("ballast:inbox:all", began_ms, "+inf", start=seen, num=limit, withscores=True),
    )
    found = [
        job
        for each, _ in ids
        if (job := _on_record(client, reference_of(each.decode()), each.decode(), view)) is not None
    ]
    if len(ids) < limit:
        return WaitingPage(found, None)
    last_ms = int(ids[-1][1])
    of_last = sum(int(taken_ms) == last_ms for _, taken_ms in ids) + (seen if last_ms == began_ms else 0)
    return WaitingPage(found, last_ms * _PLACES + min(of_last, _PLACES - 1))


def waiting_of(client: redis.Redis, telegram_id: int) -> list[dict[str, Any]]:
    """The jobs on record that a person asked for, oldest first: reference, kind, when it was taken on record in
    seconds since 1970, and what was asked. Raises redis.RedisError.
    """
    found: list[dict[str, Any]] = []
    for ids in _in_batches(_scanned(client, "ballast:inbox:all")):
        with client.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hget(_JOB + job_id, "envelope")
                pipeline.zscore("ballast:inbox:all", job_id)
            answers = pipeline.execute()
        for job_id, record, taken_ms in zip(ids, answers[::2], answers[1::2], strict=True):
            try:
                envelope = Envelope.model_validate_json(record or b"")
            except ValidationError:
                continue
            if taken_ms is not None and envelope.requester[0] == telegram_id:
                found.append(
                    {
                        "reference": reference_of(job_id),
                        "kind": envelope.kind,
                        "taken_at": float(taken_ms) / 1000,
                        "fields": envelope.fields,
                    }
                )
    return sorted(found, key=lambda job: float(job["taken_at"]))


def _in_batches(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch
