"""What the pages say, looked up beside them: a page never waits for a database or for Redis, and gives its age."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis
import structlog

from ballast.alerts import active
from ballast.backups import record as backup_record
from ballast.broadcasts.schedule import Schedule
from ballast.inbox import Inbox
from ballast.moving import progress
from ballast.payouts import record as payouts_record
from ballast.queueing import loss_record, queue_pauses, worker_drains
from ballast.queueing.queues import QUEUES
from ballast.reconciling import provider_record
from ballast.reconciling import record as reconciliation_record
from ballast.status import actions, board, books_record, counters, probe_results
from bot_frontend.intake_health import IntakeHealth
from bot_frontend.web.snapshot import FRESH_SECONDS, NOT_LOOKED_YET, StatusSnapshot
from bot_frontend.web.throughput import ThroughputMeter
from dbcore.breaker import CachedStateReader, FleetStore, outage_history
from dbcore.breaker.compute_usage import compute_usage
from dbcore.breaker.connection_budget import read_connections
from dbcore.breaker.store import read_state
from dbcore.breaker.view import view_of
from dbcore.quota import forecast
from dbcore.redis_client import redis_time
from dbcore.redis_condition import LOOK_SECONDS as LOOK_SECONDS_OF_REDIS
from dbcore.redis_condition import RedisCondition, RedisInspector, RedisTrouble
from dbcore.redis_pace import pace_of
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""While somebody looks at what it sees; else as seldom as REDIS_MODE says."""

PROBES_SECONDS = 5.0
"""Between two readings of the last hours' probes: seldom news, and not small."""

TRANSITIONS_SHOWN = 20
ACTIONS_SHOWN = 20

WATCHED_SECONDS = 10.0
"""So long after the page was last asked for somebody still watches it."""

BOARD_SECONDS = 3.0
BOARD_WAITS_SECONDS = 15.0
"""After asking in vain: whoever should read it is busy, and a second message would not help."""


class Monitor:
    """Looks in a thread of its own: the pages must not wait behind a webhook's threads either. Twice a second at the
    breaker, by which commands are taken, and at everything else while somebody asks for it.

    `latest` is always there at once.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        reception: Callable[[], IntakeHealth | None] = lambda: None,
        ask_for_board: Callable[[], None] = lambda: None,
    ) -> None:
        """ask_for_board -- has a worker read the board; may take as long as Redis lets it."""
        self._redis = client
        self._settings = settings
        self._reception = reception
        self._ask_for_board = ask_for_board
        self._watched_at = self._asked_at = self._probes_at = float("-inf")
        self._last_minute = ThroughputMeter()
        self._inbox = Inbox(client)
        self._awake = compute_usage(client, settings)
        self._fleet = FleetStore(client)
        self._agenda = Schedule(client)
        self._pace = pace_of(settings)
        self._inspector = RedisInspector(client, look_seconds=max(LOOK_SECONDS_OF_REDIS, self._pace.glance))
        self._told: tuple[RedisTrouble, ...] = ()
        self._state_reader = CachedStateReader(client)
        self._looked_at = float("-inf")
        self._asked_for = False
        self._seen = StatusSnapshot(looked_at=time.time(), redis_ok=False, redis_error=NOT_LOOKED_YET)
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    @property
    def seen(self) -> StatusSnapshot:
        """What was seen last, for whoever asks for each update: the same object until the next look."""
        return self._seen

    @property
    def latest(self) -> StatusSnapshot:
        """The same, with how Telegram's updates come in as of now."""
        return replace(self._seen, telegram=self._reception())

    def watched(self) -> None:
        """Somebody looks at the page."""
        self._watched_at = time.monotonic()

    def asked(self) -> None:
        """Somebody reads a report: the next one shall not be older than this question."""
        self._asked_for = True
        self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped:
            self._seen = self._looked()
            self._have_board_read()
            if self._wake.wait(LOOK_SECONDS if self._is_watched() else self._pace.glance):
                # However many ask.
                time.sleep(max(0.0, self._looked_at + LOOK_SECONDS - time.monotonic()))
                self._wake.clear()

    def _is_watched(self) -> bool:
        return time.monotonic() - self._watched_at <= WATCHED_SECONDS

    def _have_board_read(self) -> None:
        """Where somebody watches, it is no longer fresh, and there is somebody to read it."""
        look, now = self._seen, time.monotonic()
        since_asked = now - self._asked_at
        if not self._is_watched() or since_asked < BOARD_SECONDS:
            return
        if look.redis_error or "health" not in look.attended_queues:
            return
        if look.fleet is None or look.fleet.is_open:
            return
        age = float("inf") if look.board is None else look.by_redis_clock(time.time()) - look.board["at"]
        if age > since_asked and since_asked < BOARD_WAITS_SECONDS:
            return
        self._asked_at = now
        self._ask_for_board()

    def _looked(self) -> StatusSnapshot:
        try:
            return self._glance() if self._is_glance_enough() else self._look()
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

    def _is_glance_enough(self) -> bool:
        asked_for, self._asked_for = self._asked_for, False
        is_recent = time.monotonic() - self._looked_at < self._pace.look
        return is_recent and not asked_for and not self._is_watched() and self._seen.redis_error is None

    def _glance(self) -> StatusSnapshot:
        """At the breaker alone, by which commands are taken; at everything where it has changed."""
        seen = self._state_reader.read()
        before = self._seen.fleet
        if before is None or (seen.state, seen.reason) != (before.state, before.reason):
            return self._look()
        return replace(self._seen, looked_at=time.time(), redis=self._condition())

    def _condition(self) -> RedisCondition:
        condition = self._inspector.look()
        for trouble in condition.troubles:
            if trouble not in self._told:
                log.error("redis_trouble", trouble=trouble, words=trouble.words)
        for trouble in self._told:
            if trouble not in condition.troubles:
                log.info("redis_trouble_over", trouble=trouble)
        self._told = condition.troubles
        return condition

    def _look(self) -> StatusSnapshot:
        self._looked_at = time.monotonic()
        lengths = {queue: self._redis.llen(queue) for queue in QUEUES}
        now = time.time()
        redis_now = redis_time(self._redis)
        counts = counters.read(self._redis)
        state, state_at = read_state(self._redis)
        view = view_of(state, state_at)
        return StatusSnapshot(
            looked_at=now,
            fresh_seconds=max(FRESH_SECONDS, 3 * self._pace.glance),
            redis_ok=True,
            redis=self._condition(),
            queues=lengths,
            paused_queues=queue_pauses.read(self._redis),
            drains=worker_drains.read(self._redis),
            inbox_size=self._inbox.size(),
            inbox_oldest_seconds=self._inbox.oldest_age_seconds(),
            inbox_held_back=self._inbox.held_back(),
            inbox_overdue=self._inbox.overdue(view),
            published=self._inbox.published(),
            totals=counts,
            broadcasts_under_way=self._agenda.size(),
            broadcasts_stuck=self._agenda.stuck(),
            processes=self._inbox.processes(),
            lost_to_one_job=loss_record.read(self._redis),
            probe=probe_results.last(self._redis),
            server=probe_results.last_of_server(self._redis),
            probes=self._probes(),
            fleet=view,
            transitions=self._fleet.counts(),
            recent_transitions=self._fleet.recent()[:TRANSITIONS_SHOWN],
            history=outage_history.history_of(self._redis, state, state_at),
            alarms={name: event.since for name, event in active.read(self._redis).items()},
            connections=read_connections(self._redis, silent_after_seconds=self._pace.silent),
            connection_budget=self._settings.db_connection_budget,
            quota=forecast(
                self._settings.quota_compute_hours,
                self._awake.usage(redis_now),
                now=redis_now,
                renews_on_day=self._settings.quota_renews_on_day,
            ),
            throughput=self._last_minute.see(counts, time.monotonic()),
            board=board.read(self._redis),
            actions=actions.recent(self._redis, ACTIONS_SHOWN),
            backup=backup_record.read(self._redis),
            move=progress.read(self._redis, silent_after_seconds=self._pace.silent),
            providers=provider_record.read(self._redis),
            payouts=payouts_record.read(self._redis),
            books=books_record.read(self._redis),
            decimals={each.code: each.exponent for each in self._settings.known_currencies},
            reconciliation=reconciliation_record.read(self._redis),
            seen_at=now,
            redis_ahead_seconds=redis_now - now,
            probe_seconds=self._settings.health_probe_seconds,
        )

    def _probes(self) -> list[dict[str, Any]]:
        if not self._seen.probes or time.monotonic() - self._probes_at >= PROBES_SECONDS:
            probes = probe_results.recent(self._redis)
            self._probes_at = time.monotonic()
            return probes
        return self._seen.probes
