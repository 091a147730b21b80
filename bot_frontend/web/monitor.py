"""What the pages say, looked up beside them: a page never waits for a database or for Redis, and gives its age."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import redis
import structlog

from bot_frontend.reception import Reception
from dbcore import fleet
from dbcore.fleet import FleetStore, FleetView
from dbcore.fleet.awake import awake_time
from dbcore.fleet.budget import FleetConnections, read_connections
from dbcore.quota import Forecast, forecast
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from workers import probe_record, totals
from workers.broadcasts.agenda import Agenda
from workers.inbox import Inbox
from workers.jobs import QUEUES
from workers.verdict import DatabaseState, database_state, last_answered_at

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5

FRESH_SECONDS = 5.0
"""A look that is older says nothing of now: whoever looks hangs, and so would what it looks at."""


@dataclass(frozen=True)
class Look:
    """What was seen at one look. Times are seconds since 1970.

    redis_error -- why Redis could not be asked, or what it holds not be read; everything below it is then of the look
        before.
    redis_ahead_seconds -- how far Redis's clock is ahead of ours: what is kept in Redis has its times by that one.
    telegram -- where updates come in; None where nobody listens to Telegram.
    """

    looked_at: float
    redis_ok: bool
    redis_error: str | None = None
    queues: dict[str, int] = field(default_factory=dict)
    inbox_size: int | None = None
    inbox_oldest_seconds: float | None = None
    inbox_held_back: int | None = None
    published: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    broadcasts_under_way: int | None = None
    broadcasts_stuck: int | None = None
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    probe: dict[str, Any] | None = None
    fleet: FleetView | None = None
    transitions: dict[str, int] = field(default_factory=dict)
    connections: FleetConnections | None = None
    connection_budget: int | None = None
    quota: Forecast | None = None
    seen_at: float | None = None
    redis_ahead_seconds: float = 0.0
    telegram: Reception | None = None

    @property
    def engines(self) -> dict[str, dict[str, Any]]:
        """What the engines of the worker processes say; another release's report may have none."""
        return {name: report["database"] for name, report in self.processes.items() if report.get("database")}

    @property
    def breaker(self) -> FleetView | None:
        """The fleet's; None where no process ever followed one."""
        return self.fleet if self.fleet is not None and (self.engines or self.fleet.since) else None

    @property
    def database(self) -> DatabaseState:
        return database_state(self.fleet, self.probe, last_answered_at(self.processes.values()))

    @property
    def database_is_away(self) -> bool:
        return self.database is DatabaseState.UNAVAILABLE

    def takes_jobs(self, now: float) -> bool:
        """Whether jobs can be taken on record, as far as was seen lately."""
        return self.redis_ok and now - self.looked_at <= FRESH_SECONDS

    def by_redis_clock(self, now: float) -> float:
        """What Redis's clock shows when ours shows `now`."""
        return now + self.redis_ahead_seconds


class Monitor:
    """Looks twice a second, in a thread of its own: the pages must not wait behind a webhook's threads either.

    `latest` is always there at once.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        reception: Callable[[], Reception | None] = lambda: None,
    ) -> None:
        self._redis = client
        self._settings = settings
        self._reception = reception
        self._inbox = Inbox(client)
        self._awake = awake_time(client, settings)
        self._fleet = FleetStore(client)
        self._agenda = Agenda(client)
        self._seen = Look(looked_at=time.time(), redis_ok=False, redis_error="not looked yet")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    @property
    def latest(self) -> Look:
        return replace(self._seen, telegram=self._reception())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._seen = self._looked()
            if self._stopped.wait(LOOK_SECONDS):
                return

    def _looked(self) -> Look:
        try:
            return self._look()
        except redis.RedisError as error:
            return replace(
                self._seen, looked_at=time.time(), redis_ok=False, redis_error=type(error).__name__
            )
        except (
            Exception
        ) as error:  # the edge of a thread: another release may write what this one cannot read
            log.exception("look_unreadable")
            return replace(
                self._seen,
                looked_at=time.time(),
                redis_ok=True,
                redis_error=f"unreadable: {type(error).__name__}",
            )

    def _look(self) -> Look:
        lengths = {queue: self._redis.llen(queue) for queue in QUEUES}
        now = time.time()
        redis_now = redis_time(self._redis)
        return Look(
            looked_at=now,
            redis_ok=True,
            queues=lengths,
            inbox_size=self._inbox.size(),
            inbox_oldest_seconds=self._inbox.oldest_age_seconds(),
            inbox_held_back=self._inbox.held_back(),
            published=self._inbox.published(),
            totals=totals.read(self._redis),
            broadcasts_under_way=self._agenda.size(),
            broadcasts_stuck=len(self._agenda.stuck()),
            processes=self._inbox.processes(),
            probe=probe_record.last(self._redis),
            fleet=fleet.read(self._redis),
            transitions=self._fleet.counts(),
            connections=read_connections(self._redis),
            connection_budget=self._settings.db_connection_budget,
            quota=forecast(
                self._settings.quota_compute_hours,
                self._awake.usage(redis_now),
                now=redis_now,
                renews_on_day=self._settings.quota_renews_on_day,
            ),
            seen_at=now,
            redis_ahead_seconds=redis_now - now,
        )
