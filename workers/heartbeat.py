"""The heartbeat of a worker process: while it beats, what the process holds in the inbox stays its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog

from ballast.inbox import Inbox
from dbcore.redis_pace import RESPONSIVE
from workers.in_flight import InFlight

log = structlog.get_logger(__name__)

BEAT_SECONDS = 0.5


class Heartbeat:
    """A daemon thread that beats twice a second, more seldom while nothing is in hand, and carries the process's report
    along.

    It also gives back claims that the process knows nothing of: a claim whose answer was lost, or one that Redis was
    away to release. Without that they would stand for as long as the process lives.
    """

    def __init__(
        self,
        inbox: Inbox,
        owner: str,
        in_flight: InFlight,
        report: Callable[[], dict[str, Any]],
        counts: Callable[[], dict[str, int]],
        *,
        idle_seconds: float = RESPONSIVE.beat,
    ) -> None:
        """counts -- what the process counted since it began (status/counters.py).
        idle_seconds -- between two beats while nothing is in hand.
        """
        self._idle_seconds = idle_seconds
        self._next_at = float("-inf")
        self._said = False
        """Whether the last beat said how the process is."""
        self._inbox = inbox
        self._owner = owner
        self._in_flight = in_flight
        self._report = report
        self._counts = counts
        self._told: dict[str, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=2 * BEAT_SECONDS)
        self._beat()  # what was counted since the last one

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            # Half a tick early rather than half a tick late: others go by the gap.
            if self._in_flight or time.monotonic() + BEAT_SECONDS / 2 >= self._next_at:
                self._beat(says_how_it_is=bool(self._in_flight) or not self._said)
                self._next_at = time.monotonic() + self._idle_seconds

    def _beat(self, *, says_how_it_is: bool = True) -> None:
        try:
            counts = self._counts()
            new = dict(counts.items() - self._told.items())
            self._said = says_how_it_is
            held = self._inbox.beat(self._owner, self._report() if says_how_it_is else None, new)
            self._told = counts
            for job_id in self._in_flight.forgotten(held):
                if self._inbox.release(job_id, self._owner, delay_seconds=0):
                    log.warning("forgotten_claim_given_back", job_id=job_id)
        except redis.RedisError as error:
            # Not beating is what a process without Redis should do: others take its jobs, and doubles are harmless.
            log.warning("beat_failed", error=type(error).__name__)
        except Exception:  # the edge of a thread: a process without a heartbeat would count as dead forever
            log.exception("beat_tripped")
