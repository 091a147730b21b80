"""Whether an idle connection is still one: it is tried before it is relied on where there is reason to doubt it."""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg2

from dbcore.guard import deadline

PING = "SELECT 1"
PING_SECONDS_MAX = 1.0

LOOK_AFTER_IDLE_SECONDS = 0.01
"""A connection that lay idle for less is not looked at: a look costs more than what it finds out of such a moment."""

_IDLE_SINCE = "idle_since"


class Liveness:
    """Of the connections of one pool."""

    def __init__(self, ping_after_idle_seconds: float = 15.0) -> None:
        self.ping_after_idle_seconds = ping_after_idle_seconds
        self._stale_before = 0.0

    def mark_stale(self) -> None:
        """A connection was lost: try each of the others before it is used again. Most often they are lost too, and
        then a restart of the server costs one failed call instead of one a connection.
        """
        self._stale_before = time.monotonic()

    def note_idle(self, info: dict[Any, Any]) -> None:
        """A connection is given back, whose `info` of SQLAlchemy's this is."""
        info[_IDLE_SINCE] = time.monotonic()

    def is_good(self, connection: Any, info: dict[Any, Any], ping: str = PING) -> bool:
        """Tried by the statement `ping` where there is reason to doubt it. One that was cut off is to be replaced, and
        is no outage.
        """
        idle_since = info.get(_IDLE_SINCE)
        if idle_since is None:
            return True
        if idle_since >= self._stale_before:
            idle_seconds = time.monotonic() - idle_since
            if idle_seconds < LOOK_AFTER_IDLE_SECONDS < self.ping_after_idle_seconds:
                return True
            if idle_seconds < self.ping_after_idle_seconds and not _has_unread_input(connection):
                return True
        try:
            with deadline.Deadline(PING_SECONDS_MAX), connection.cursor() as cursor:
                cursor.execute(ping)
        except psycopg2.Error:
            self.mark_stale()
            return False
        return True


def _has_unread_input(connection: Any) -> bool:
    """Whether an idle connection has something to read: the server's farewell, or the end. Costs no round trip,
    and turns most of what would be an unknown outcome into a connection replaced before anything was sent.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))
