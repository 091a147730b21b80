"""The link of one process to its fleet: a thread that tells the fleet how this process's calls went, and tells this
process's breaker what the fleet is. No call to the database ever waits for it.

    calls ──▶ breaker ◀──follow── link ──one script──▶ Redis ◀── the other processes
                 └──how they went──▶┘└──leased probe──▶ database

It speaks once a second while all is well and calls are made, more seldom while there are none, four times a second
while something is wrong, ten times while the fleet is open, and at once when a call failed. While the fleet is open it
takes a lease when it is time and one is free, and probes by itself: no job has to be risked for it, and none has to
come.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

import psycopg2
import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from dbcore import jobs_waiting
from dbcore.breaker import events, outages
from dbcore.breaker.compute_usage import ComputeUsage
from dbcore.breaker.local import Call
from dbcore.breaker.rules import REASONS, BreakerReason, BreakerState
from dbcore.breaker.state import RECENT_SECONDS, FleetState
from dbcore.breaker.store import FleetStore, SyncRequest, SyncResponse
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.moving.heeding import MoveListener
from dbcore.redis_pace import RESPONSIVE, RedisPace

log = structlog.get_logger(__name__)

QUIET_SECONDS = 1.0
BUSY_SECONDS = 0.25
NEAR_SECONDS = 0.1
"""While it may close any moment. A process that has not heard of it gives back the jobs that it takes."""

IN_USE_SECONDS = 5.0
"""Since its last call a process speaks as seldom as REDIS_MODE says."""

SHORTEST_SECONDS = 0.05
"""Between two exchanges at the least, however many calls fail."""

FAR_SECONDS = 3.0
"""An interval that ends later than this is not watched closely."""

STUCK_SECONDS = 2.0
"""A call under way for so long is told of before it ends. Others wait behind it."""

_STUCK = Call(0.0, failed=True, slow=True, reason=BreakerReason.OUTAGE, trips_at_once=False, stuck=True)

EVENTS_AT_ONCE = 100
EVENT_WRITER_SECONDS = 5.0

T = TypeVar("T")


class BreakerSync:
    """One per process that has an engine."""

    def __init__(
        self,
        client: redis.Redis,
        engine: GuardedEngine,
        process: str,
        *,
        connection_budget: int | None = None,
        connections_wanted: int | None = None,
        awake: ComputeUsage | None = None,
        moves: MoveListener | None = None,
        bulk: bool = False,
        pace: RedisPace = RESPONSIVE,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """process -- this one's name in the fleet.

        connections_wanted -- what the engine may grow to, where the budget has room; default: what it has.
        awake -- who counts how long the database is kept awake.
        moves -- who follows the database to another server.
        bulk -- nobody waits for what it does: it keeps no idle connection while others find none to be had.
        """
        self.store = FleetStore(client, silent_after_seconds=pace.silent)
        self._redis = client
        self._idle_seconds = pace.link
        self._engine = engine
        self._process = process
        self._budget = connection_budget
        self._awake = awake
        self._bulk = bulk
        snapshot = engine.snapshot()
        self._wanted = connections_wanted or snapshot.pool_max
        self._granted = snapshot.pool_max
        self._least = snapshot.pool_size
        self._uniform = uniform
        self._limits = engine.breaker.limits
        self._moves = moves
        self._epoch = 0
        self._moves_seen: int | None = None
        self._move_asked = ""
        self._redis_ok = True
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._jobs_wait = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-link", daemon=True)
        engine.breaker.on_failure = self._wake.set

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()
        self._thread.join(timeout=5)
        try:
            self._tell_of_jobs()
            self.store.leave(self._process)
        except redis.RedisError as error:
            # Without the farewell it is forgotten some seconds later.
            log.warning("fleet_farewell_failed", error=type(error).__name__)

    def note_jobs(self) -> None:
        """Jobs were committed to the table `outbox`. The link says so when it speaks next, or once Redis answers."""
        self._jobs_wait.set()

    def _tell_of_jobs(self) -> None:
        if not self._jobs_wait.is_set():
            return
        self._jobs_wait.clear()
        try:
            jobs_waiting.tell(self._redis)
        except redis.RedisError:
            self._jobs_wait.set()
            raise

    @property
    def is_connected(self) -> bool:
        """Whether Redis answered when it last spoke."""
        return self._redis_ok

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                pause = self.step()
            except Exception:
                # The thread is all that stands between this process and a fleet's state of hours ago.
                log.exception("fleet_link_failed")
                self._engine.breaker.detach()
                pause = QUIET_SECONDS
            if self._wake.wait(pause):
                self._stopped.wait(SHORTEST_SECONDS)
                self._wake.clear()

    def step(self) -> float:
        """Speak with the fleet once, and do what is ours to do. Returns the seconds until the next time."""
        try:
            seen = self.store.sync(self._report())
            self._redis_returned()
            self._tell_of_jobs()
            self._take_shares(seen)
            if self._awake is not None:
                self._awake.note(self._engine.calls_sent)
            if self._moves is not None and seen.move_asked not in {"", self._move_asked}:
                self._moves.look()
                self._move_asked = seen.move_asked
            fleet = self._advance(seen)
            if fleet.state is BreakerState.CLOSED and seen.rows_waiting:
                self._write_down()
        except redis.RedisError as error:
            self._redis_left(error)
            return BUSY_SECONDS
        return self._pause(fleet, seen.now)

    def _report(self) -> SyncRequest:
        calls = self._engine.breaker.calls() + [_STUCK] * self._engine.stuck_calls(STUCK_SECONDS)
        return SyncRequest(
            process=self._process,
            epoch=self._epoch,
            calls=calls,
            look=any(call.reason is not None for call in calls),
            retries_wanted=self._engine.retries.deficit(),
            connections_wanted=self._wanted,
            connections_least=self._least,
            connections_open=self._engine.connections_open,
            connection_budget=self._budget,
            saturated=any(
                call.reason is BreakerReason.SATURATION
                and not call.slow
                and call.age_seconds <= RECENT_SECONDS
                for call in calls
            ),
        )

    def _take_shares(self, seen: SyncResponse) -> None:
        self._engine.retries.refill(seen.retries_granted)
        if seen.connections_granted != self._granted:
            log.info("connections_granted", before=self._granted, after=seen.connections_granted)
            self._granted = seen.connections_granted
            self._engine.limit_connections(seen.connections_granted)
        if self._bulk and seen.saturated and (dropped := self._engine.drop_idle_connections()):
            log.warning("bulk_connections_dropped", connections=dropped)

    def _advance(self, seen: SyncResponse) -> FleetState:
        """Follow the fleet, having opened it or probed for it where that is ours to do."""
        fleet = seen.fleet
        if (over := fleet.let_go(now=seen.now)) is not fleet and self.store.commit(
            fleet, over, self._process
        ):
            self._tell(fleet, over)
            fleet = over
        # Calls that were told under another epoch say nothing about this one.
        if fleet.state is BreakerState.CLOSED and fleet.epoch == self._epoch:
            opened = fleet.evaluated(seen.calls, now=seen.now, limits=self._limits, jitter=self._jitter())
            if opened is not fleet and self.store.commit(fleet, opened, self._process):
                self._tell(fleet, opened)
                fleet = opened
        self._follow(fleet, seen.now)
        for _ in range(self._limits.probes_to_close):
            fleet, now = self._probe_where_leased(fleet, seen.now)
            self._follow(fleet, now)
        return fleet

    def _probe_where_leased(self, fleet: FleetState, now: float) -> tuple[FleetState, float]:
        if fleet.state not in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
            return fleet, now
        lease_id = uuid.uuid4().hex
        leased = fleet.with_lease(lease_id, self._process, now=now, limits=self._limits)
        if leased is fleet or not self.store.commit(fleet, leased, self._process):
            return fleet, now
        self._tell(fleet, leased)
        failure = self._probe(leased.reason)
        jitter = self._jitter()
        before = leased
        after_now = now

        def answer(current: FleetState, current_now: float) -> FleetState:
            nonlocal before, after_now
            before, after_now = current, current_now
            return current.with_probe_result(
                lease_id, failure, now=current_now, limits=self._limits, jitter=jitter
            )

        after = self.store.change(answer, self._process)
        self._tell(before, after)
        return after, after_now

    def _probe(self, reason: BreakerReason | None) -> BreakerReason | None:
        """None where the database answers."""
        kind = self._engine.probe(writes=reason is BreakerReason.STORAGE)
        return None if kind is None else REASONS[kind]

    def _follow(self, fleet: FleetState, now: float) -> None:
        if self._moves is not None and fleet.epoch != self._moves_seen and not fleet.is_held:
            self._moves.look()  # before a call is let through again
            self._moves_seen = fleet.epoch
        self._epoch = fleet.epoch
        self._engine.breaker.apply_remote(fleet.order(now))

    def _tell(self, before: FleetState, after: FleetState) -> None:
        if after.epoch == before.epoch:
            return
        log.warning(
            "fleet_breaker_transition",
            before=before.state.value,
            after=after.state.value,
            reason=after.reason.value if after.reason else None,
            open_seconds=round(max(0.0, after.until - after.since), 2),
        )

    def _write_down(self) -> None:
        if not self.store.acquire_event_writer(self._process, EVENT_WRITER_SECONDS):
            return
        happened = self.store.oldest_events(EVENTS_AT_ONCE)
        if self._is_written("breaker_events", events.write, list(happened.values())):
            self.store.drop_events(happened)
        over = outages.unwritten(self._redis, EVENTS_AT_ONCE)
        if self._is_written("outages", events.write_outages, list(over.values())):
            outages.drop(self._redis, over)

    def _is_written(self, table: str, write: Callable[[GuardedEngine, list[T]], int], rows: list[T]) -> bool:
        if not rows:
            return False
        try:
            write(self._engine, rows)
        except DatabaseAway as away:
            log.info(f"{table}_wait", rows=len(rows), kind=away.kind.value)
            return False
        except (psycopg2.Error, SQLAlchemyError) as error:
            # Such as a schema that is not migrated yet. They wait in Redis, and that is no reason to stop speaking.
            log.warning(f"{table}_refused", rows=len(rows), error=type(error).__name__)
            return False
        return True

    def _pause(self, fleet: FleetState, now: float) -> float:
        match fleet.state:
            case BreakerState.CLOSED:
                calls = self._engine.breaker.calls()
                if any(call.reason is not None for call in calls):
                    return BUSY_SECONDS
                in_use = any(call.age_seconds <= IN_USE_SECONDS for call in calls)
                return QUIET_SECONDS if in_use else self._idle_seconds
            case BreakerState.OPEN:
                left = fleet.until - now
                return QUIET_SECONDS if left > FAR_SECONDS else max(SHORTEST_SECONDS, min(NEAR_SECONDS, left))
            case BreakerState.HALF_OPEN:
                return NEAR_SECONDS
        return NEAR_SECONDS if fleet.is_held else QUIET_SECONDS

    def _jitter(self) -> float:
        return self._uniform(0.0, self._limits.jitter)

    def _redis_left(self, error: redis.RedisError) -> None:
        if self._redis_ok:
            log.warning("fleet_without_redis", error=type(error).__name__)
        self._redis_ok = False
        self._engine.breaker.detach()
        self._engine.retries.detach()

    def _redis_returned(self) -> None:
        if not self._redis_ok:
            log.info("fleet_with_redis_again")
        self._redis_ok = True
