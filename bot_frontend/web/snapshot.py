"""What the monitor saw of the whole fleet at one look: what every page and figure is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ballast.backups.record import Record
from ballast.inbox import Overdue
from ballast.moving.progress import MoveProgress
from ballast.payouts.record import Record as Payouts
from ballast.queueing.queue_pauses import QueuePause
from ballast.queueing.worker_drains import Drain, node_of
from ballast.reconciling.provider_record import Compared
from ballast.reconciling.record import Record as Reconciliation
from ballast.status.books_record import Books
from ballast.status.health import DatabaseState, database_state, last_answered_at
from ballast.texts import gettext_noop
from bot_frontend.intake_health import IntakeHealth
from bot_frontend.web.throughput import Throughput
from dbcore.breaker import Event, FleetView
from dbcore.breaker.connection_budget import FleetConnections
from dbcore.breaker.outage_history import OutageHistory
from dbcore.quota import Forecast
from dbcore.redis_condition import RedisCondition

NOT_LOOKED_YET = gettext_noop("not looked yet")

PROBES_MISSED_MAX = 3
"""After so many it is not known how the database is, unless it answered somebody since."""
STALE_SECONDS_MIN = 30.0
"""With probes a second apart, those of a busy machine are late and not missed."""

FRESH_SECONDS = 5.0
"""A look that is older says nothing of now: whoever looks hangs, and so would what it looks at."""


@dataclass(frozen=True)
class StatusSnapshot:
    """What was seen at one look. Times are seconds since 1970.

    redis_error -- why Redis could not be asked, or what it holds not be read; everything below it is then of the look
        before.
    fresh_seconds -- a look that is older says nothing of now. redis -- whether Redis is fit to hold jobs.
    redis_ahead_seconds -- how far Redis's clock is ahead of ours: what is kept in Redis has its times by that one.
    server -- the last probe that says what the server is; probes -- the last hours' in short, oldest first.
    inbox_overdue -- the job that has waited longest for a worker to begin it, where that is too long.
    lost_to_one_job -- processes that one job has cost in the last minute, where it was more than one.
    history -- the outages of the last weeks, the one that is on among them.
    alarms -- what stands, and since when. board -- what a worker read of the tables (ballast/status/board.py).
    actions -- what operators ordered on the page lately, newest first. backup -- the last proven one, and
        whether the last run failed. move -- of the database to another server; None where none is known.
        whether the last run failed. reconciliation -- of Telegram's book of Stars with the ledger.
    providers -- what each lists of payments, compared with the ledger.
    payouts -- withdrawals that are open; None while none is.
    books -- balances of the ledger's accounts, and its seals. decimals -- of each currency.
    telegram -- where updates come in; None where nobody listens to Telegram. probe_seconds -- how often the database is
        probed.
    """

    looked_at: float
    redis_ok: bool
    redis_error: str | None = None
    fresh_seconds: float = FRESH_SECONDS
    redis: RedisCondition = field(default_factory=RedisCondition)
    queues: dict[str, int] = field(default_factory=dict)
    paused_queues: dict[str, QueuePause] = field(default_factory=dict)
    drains: dict[str, Drain] = field(default_factory=dict)
    inbox_size: int | None = None
    inbox_oldest_seconds: float | None = None
    inbox_held_back: int | None = None
    inbox_overdue: Overdue | None = None
    published: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    broadcasts_under_way: int | None = None
    broadcasts_stuck: list[int] | None = None
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost_to_one_job: int = 0
    probe: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    probes: list[dict[str, Any]] = field(default_factory=list)
    fleet: FleetView | None = None
    transitions: dict[str, int] = field(default_factory=dict)
    recent_transitions: list[Event] = field(default_factory=list)
    history: OutageHistory = field(default_factory=lambda: OutageHistory((), 0.0, None))
    alarms: dict[str, float] = field(default_factory=dict)
    connections: FleetConnections | None = None
    connection_budget: int | None = None
    quota: Forecast | None = None
    throughput: Throughput | None = None
    board: dict[str, Any] | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    backup: Record = field(default_factory=Record)
    move: MoveProgress | None = None
    providers: list[Compared] = field(default_factory=list)
    payouts: Payouts | None = None
    books: Books | None = None
    decimals: Mapping[str, int] = field(default_factory=dict)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    seen_at: float | None = None
    redis_ahead_seconds: float = 0.0
    telegram: IntakeHealth | None = None
    probe_seconds: int = 60

    def decimals_of(self, currency: str) -> int:
        """0 of a currency that the bot no longer has: its amounts are in minor units."""
        return self.decimals.get(currency, 0)

    @property
    def engines(self) -> dict[str, dict[str, Any]]:
        """What the engines of the worker processes say; another release's report may have none."""
        return {name: report["database"] for name, report in self.processes.items() if report.get("database")}

    @property
    def attended_queues(self) -> set[str]:
        """Those that a living worker takes from, which is not drained."""
        return {
            queue
            for report in self.processes.values()
            if node_of(report) not in self.drains
            for queue in report.get("queues", ())
        }

    @property
    def unattended_queues(self) -> list[str]:
        """Those where messages wait and nobody takes them."""
        attended = self.attended_queues
        return sorted(queue for queue, length in self.queues.items() if length and queue not in attended)

    @property
    def breaker(self) -> FleetView | None:
        """The fleet's; None where no process ever followed one."""
        return self.fleet if self.fleet is not None and (self.engines or self.fleet.since) else None

    @cached_property
    def database(self) -> DatabaseState:
        """Without a worker nobody looks at it."""
        stale_after = max(PROBES_MISSED_MAX * self.probe_seconds, STALE_SECONDS_MIN)
        stale_before = self.by_redis_clock(self.looked_at) - stale_after
        return database_state(
            self.fleet,
            self.probe,
            last_answered_at(self.processes.values()),
            stale_before if self.processes else math.inf,
        )

    @property
    def database_is_away(self) -> bool:
        return self.database is DatabaseState.UNAVAILABLE

    def takes_jobs(self, now: float) -> bool:
        """Whether jobs can be taken on record, as far as was seen lately."""
        return self.redis_answers(now) and self.redis.stops_intake is None

    def redis_answers(self, now: float) -> bool:
        return self.redis_ok and now - self.looked_at <= self.fresh_seconds

    def by_redis_clock(self, now: float) -> float:
        """What Redis's clock shows when ours shows `now`."""
        return now + self.redis_ahead_seconds

    def by_our_clock(self, redis_time: float) -> float:
        return redis_time - self.redis_ahead_seconds

    def age_seconds(self, now: float) -> float | None:
        """Since what is said here was seen; None where nothing was ever seen."""
        return None if self.seen_at is None else round(max(0.0, now - self.seen_at), 3)
