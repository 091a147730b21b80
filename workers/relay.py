"""The relay: takes what transactions enqueued from the table `outbox` to the inbox, where it is a job like any other.

    outbox ── first() ──▶ inbox.accept_many ──▶ publish ──▶ remove()
                 ▲                             a crash between any two: the rows come again, and are known by their ids

It runs in a worker, as a task: right after a commit in a worker process, with each probe, and when the breaker closes.
Any number of relays side by side do no harm, and hold nothing while they ask Redis. Each hands over the rows in their
order, and a second copy of one finds the job on record, or done within the last day.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from ballast.inbox import Acceptance, Inbox, Offer, Publisher
from ballast.jobs import JobInvalid
from ballast.queueing import outbox_relay, relay_hold
from ballast.queueing.envelope import APPS_LANE, Envelope, enqueued_lane
from ballast.queueing.kinds import JOB_TYPES
from dbcore import jobs_waiting, keys, outbox
from dbcore.errors import UsageError
from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.outbox import Row
from workers import unknown_kinds

log = structlog.get_logger(__name__)

BATCH = 100

SIZE_MAX = 100_000
"""Jobs on record, whoever's, beyond which the rows wait in the table: half the inbox is kept for what people write."""

RUN_SECONDS_MAX = 5.0
"""Then the next run is asked for, so that others get their turn. It also bounds the age of what was read: a relay that
stood still for a day would offer jobs of which Redis no longer knows that they are done.
"""

RAW_LENGTH_MAX = 8192

_ON_RECORD = {Acceptance.ACCEPTED, Acceptance.KNOWN, Acceptance.DONE}


@dataclass
class Full:
    """Whose jobs wait in the table for now: of users with too many in the inbox, and of lanes that apps name."""

    users: set[int] = field(default_factory=set)
    lanes: set[str] = field(default_factory=set)

    def add(self, row: Row, offer: Offer) -> None:
        if row.telegram_id is not None and not offer.envelope.lane.startswith(APPS_LANE):
            self.users.add(row.telegram_id)
        else:
            self.lanes.add(offer.envelope.lane)

    def without(self, offers: list[tuple[Row, Offer]]) -> list[tuple[Row, Offer]]:
        """None of theirs: a later one must not overtake."""
        return [
            (row, offer)
            for row, offer in offers
            if row.telegram_id not in self.users and offer.envelope.lane not in self.lanes
        ]

    def __bool__(self) -> bool:
        return bool(self.users or self.lanes)


class Relay:
    def __init__(
        self,
        client: redis.Redis,
        engine: GuardedEngine,
        inbox: Inbox,
        publisher: Publisher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._engine = engine
        self._inbox = inbox
        self._publisher = publisher
        self._clock = clock

    def run(self) -> int:
        """Until none is left, or the time is up; how many rows it took: none while a backup holds relays back. Raises
        DatabaseAway, redis.RedisError and psycopg2's UndefinedTable: what is left waits.
        """
        with relay_hold.running(self._redis) as may_run:
            return self._run() if may_run else 0

    def _run(self) -> int:
        outbox_relay.begins(self._redis)
        flag = jobs_waiting.read(self._redis)
        until = self._clock() + RUN_SECONDS_MAX
        full = Full()
        after = count = 0
        has_room = True
        while has_room and self._clock() < until:
            rows = outbox.first(self._engine, BATCH, after=after, without=full.users)
            if not rows:
                break
            after = rows[-1].id
            taken: list[int] = []
            try:
                has_room = self._take(rows, taken, full, until)
            finally:
                if taken:
                    count += outbox.remove(self._engine, taken)
        if self._clock() >= until:
            outbox_relay.ask(self._redis, self._publisher)
        elif flag is not None and has_room and not full:
            jobs_waiting.withdraw(self._redis, flag)
        return count

    def _take(self, rows: list[Row], taken: list[int], full: Full, until: float) -> bool:
        """Adds the ids of those that are on record to `taken`, and users and lanes with too many jobs there to `full`.
        False if the inbox takes no more of anybody's.
        """
        offers = full.without([(row, self._offer(row)) for row in rows])
        while offers and self._clock() < until:
            receipts = self._inbox.accept_many([offer for _, offer in offers])
            dispatches = [receipt.dispatch for receipt in receipts if receipt.dispatch is not None]
            unknown_kinds.publish(self._inbox, self._publisher, dispatches)
            for (row, offer), receipt in zip(offers, receipts, strict=False):  # of the first offers
                if receipt.status in _ON_RECORD:
                    taken.append(row.id)
                elif receipt.status is Acceptance.FULL:
                    full.add(row, offer)
                else:
                    return False
            offers = full.without(offers[len(receipts) :])
        return True

    def _offer(self, row: Row) -> Offer:
        job_id = f"outbox-{row.id}-{row.created}"
        fields, failure = _fields(row)
        if row.key is not None and failure is None:
            if self._inbox.binds(row.key, _fingerprint(row.kind, fields)):
                job_id = keys.job_id_of(row.key)
            else:
                failure = (
                    f"key: {row.key} came before with other arguments; expected the same ones, or another key"
                )
        lane = enqueued_lane(job_id, row.kind, fields, row.telegram_id)
        envelope = Envelope(job_id=job_id, lane=lane, kind=row.kind, fields=fields)
        return Offer(envelope, failure, size_max=SIZE_MAX, waited_seconds=row.waited_seconds)


def _fields(row: Row) -> tuple[dict[str, Any], str | None]:
    """The job's arguments, and why it cannot be done if they are none: an INSERT by hand may have written anything."""
    try:
        return outbox.read(row.payload), None
    except UsageError as error:
        return {"raw": row.payload[:RAW_LENGTH_MAX]}, str(error)


def _fingerprint(kind: str, fields: dict[str, Any]) -> str:
    """The one that an operator's call of the same task has."""
    try:
        arguments = JOB_TYPES[kind].decode(fields).model_dump_json()
    except (KeyError, JobInvalid):
        arguments = repr(sorted(fields.items()))
    return fingerprint(kind, arguments)
