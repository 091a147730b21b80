"""The fleet's breaker for those who have no engine: the frontend, the workers' parents, operators."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from dbcore.breaker_rules import BreakerReason, BreakerState
from dbcore.fleet.store import read_state


@dataclass(frozen=True, slots=True)
class FleetView:
    """What it is now. Times are seconds since 1970 on Redis's clock.

    until -- when the next probe is due, while it is open.
    probers -- the processes that hold a lease now.
    """

    state: BreakerState
    reason: BreakerReason | None
    since: float
    until: float | None
    retry_after_seconds: float
    probers: tuple[str, ...]

    @property
    def admits_nothing(self) -> bool:
        """Whether no job that needs the database can succeed now. Of a full one the reads still do."""
        return (
            self.state in {BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.FORCED_OPEN}
            and self.reason is not BreakerReason.STORAGE
        )


def read(client: redis.Redis) -> FleetView:
    """One round trip. Raises redis.RedisError where Redis cannot be asked."""
    fleet, now = read_state(client)
    return FleetView(
        state=fleet.state,
        reason=fleet.reason,
        since=fleet.since,
        until=fleet.until if fleet.state is BreakerState.OPEN else None,
        retry_after_seconds=fleet.retry_after_seconds(now),
        probers=tuple(lease.process for lease in fleet.leases if lease.until > now),
    )
