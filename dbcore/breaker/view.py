"""The fleet's breaker for those who have no engine: the frontend, the workers' parents, operators."""

from __future__ import annotations

import math
from dataclasses import dataclass

import redis
import structlog

from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.state import BLOCKING_STATES, FleetState, StateUnreadable
from dbcore.breaker.store import read_state, state_now

MOVE = "ballast move"
"""Who holds it while the database moves."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FleetView:
    """What it is now. Times are seconds since 1970 on Redis's clock.

    since -- when calls were last let through, or held back: probes in between, and their failures, do not count.
    until -- when the next probe is due, while it is open.
    probers -- the processes that hold a lease now.
    """

    state: BreakerState
    reason: BreakerReason | None
    since: float
    until: float | None
    retry_after_seconds: float
    probers: tuple[str, ...]
    paused_by: str | None = None
    """Who holds it open; None where nobody does, or an older release noted no name."""

    @property
    def moves(self) -> bool:
        """Whether it is held because the database moves to another server."""
        return self.paused and self.paused_by == MOVE

    @property
    def paused(self) -> bool:
        """Whether an operator holds it open: nothing is known to be broken."""
        return self.state is BreakerState.FORCED_OPEN

    @property
    def is_open(self) -> bool:
        """Whether no job that needs the database can succeed now."""
        return self.state in BLOCKING_STATES and not self.is_read_only

    @property
    def is_read_only(self) -> bool:
        """Whether the database is full or read-only, and no more than that."""
        return self.state in BLOCKING_STATES and self.reason is BreakerReason.STORAGE


def read_breaker(client: redis.Redis) -> FleetView:
    """One round trip. Raises redis.RedisError where Redis cannot be asked, StateUnreadable."""
    return view_of(*read_state(client))


class CachedStateReader:
    """For whoever looks again and again: what a newer release wrote, and this one cannot read, leaves its last view
    standing.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._last = view_of(FleetState(), 0.0)
        self._reads = True

    def read(self) -> FleetView:
        """One command while the breaker is closed. Raises redis.RedisError where Redis cannot be asked."""
        try:
            state = state_now(self._redis)
            self._last = (
                read_breaker(self._redis) if state.state in BLOCKING_STATES else view_of(state, math.inf)
            )
            self._reads = True
        except StateUnreadable as error:
            if self._reads:
                log.error("fleet_state_unreadable", error=str(error), kept=self._last.state.value)
            self._reads = False
        return self._last


def view_of(fleet: FleetState, now: float) -> FleetView:
    """now -- on Redis's clock."""
    return FleetView(
        state=fleet.state,
        reason=fleet.reason,
        since=fleet.open_since or fleet.since,
        until=fleet.until if fleet.state is BreakerState.OPEN else None,
        retry_after_seconds=fleet.retry_after_seconds(now),
        probers=tuple(lease.process for lease in fleet.leases if lease.until > now),
        paused_by=(fleet.overridden_by or None) if fleet.state is BreakerState.FORCED_OPEN else None,
    )
