"""The fleet's breaker in an operator's hands: `ballast breaker [open|close|auto]`, and the status page."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import redis
import structlog

from dbcore.breaker import outages
from dbcore.breaker.outages import Outage
from dbcore.breaker.rules import BreakerState
from dbcore.breaker.state import FleetState, StateUnreadable
from dbcore.breaker.store import FleetStore, read_state
from dbcore.breaker.view import view_of
from dbcore.text import one_line

log = structlog.get_logger(__name__)

OVERRIDES: Mapping[str, BreakerState] = {
    "open": BreakerState.FORCED_OPEN,
    "close": BreakerState.DISABLED,
    "auto": BreakerState.CLOSED,
}
"""`close` holds it closed whatever happens, which is resilience4j's disabled; `auto` gives it back to the calls."""


def set_override(client: redis.Redis, word: str, actor: str) -> None:
    """It stands until the next word, across restarts of everything. Processes hear it within about a second. A state
    that cannot be read gives way to it.

    actor -- whose word it is. Raises redis.RedisError.
    """
    store, by = FleetStore(client), f"{actor} (operator)"

    def overridden(fleet: FleetState, now: float) -> FleetState:
        return fleet.overridden(OVERRIDES[word], now=now, by=actor.removeprefix("web:"))

    try:
        store.change(overridden, by)
    except StateUnreadable as error:
        log.warning("fleet_state_replaced", was=str(error))
        store.forget_state()
        store.change(overridden, by)


def described(client: redis.Redis) -> dict[str, object]:
    """State, reason, since, until, who probes, and the last outages, as JSON values; times are ISO 8601.

    Raises redis.RedisError, StateUnreadable.
    """
    fleet, time = read_state(client)
    now = view_of(fleet, time)
    return {
        **asdict(now),
        "since": iso_time(now.since or None),
        "until": iso_time(now.until),
        "outages": [outage_as_json(outage) for outage in outages.read(client, fleet, time)],
    }


def outage_as_json(outage: Outage) -> dict[str, object]:
    """Times are ISO 8601."""
    times = ("failed_at", "began_at", "ended_at", "drained_at")
    return {**asdict(outage), **{name: iso_time(getattr(outage, name)) for name in times}}


def user_here() -> str:
    """Who is at this command line: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unnamed"
    return one_line(f"{user}@{socket.gethostname()}")


def iso_time(seconds: float | None) -> str | None:
    """ISO 8601, of seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
