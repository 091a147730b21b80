"""What the pages say, looked up beside them: a page never waits for a database or for Redis, and gives its age."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from dbcore import fleet
from dbcore.breaker_rules import BreakerState
from dbcore.fleet import FleetStore, FleetView
from dbcore.fleet.awake import awake_time
from dbcore.fleet.budget import FleetConnections, read_connections
from dbcore.quota import Forecast, forecast
from dbcore.settings import Settings
from workers import probe_record, totals
from workers.broadcasts.agenda import Agenda
from workers.inbox import Inbox
from workers.jobs import QUEUES

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Look:
    """What was seen at one look. Times are seconds since 1970.

    redis_error -- why Redis could not be asked; everything below it is then of the look before.
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

    @property
    def database_is_away(self) -> bool:
        """Whether the fleet's breaker lets calls through only as an exception, or a later probe found nobody there."""
        if self.fleet is not None and self.fleet.state not in {BreakerState.CLOSED, BreakerState.DISABLED}:
            return True
        if self.probe is None or self.probe["ok"]:
            return False
        return self.fleet is None or self.probe.get("probed_at", 0.0) > self.fleet.since


class Monitor:
    """Looks twice a second, in a thread; `latest` is always there at once."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._redis = client
        self._settings = settings
        self._inbox = Inbox(client)
        self._awake = awake_time(client, settings)
        self._fleet = FleetStore(client)
        self._onlooker = fleet.Onlooker(client)
        self._agenda = Agenda(client)
        self.latest = Look(looked_at=time.time(), redis_ok=False, redis_error="not looked yet")

    async def run(self) -> None:
        while True:
            self.latest = await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> Look:
        try:
            lengths = {queue: self._redis.llen(queue) for queue in QUEUES}
            now = time.time()
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
                fleet=self._onlooker.read(),
                transitions=self._fleet.counts(),
                connections=read_connections(self._redis),
                connection_budget=self._settings.db_connection_budget,
                quota=forecast(
                    self._settings.quota_compute_hours,
                    self._awake.usage(now),
                    now=now,
                    renews_on_day=self._settings.quota_renews_on_day,
                ),
                seen_at=now,
            )
        except redis.RedisError as error:
            return replace(
                self.latest, looked_at=time.time(), redis_ok=False, redis_error=type(error).__name__
            )
