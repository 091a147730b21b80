"""A repair to kombu's Redis channel, without which a Redis restart ends a worker that has a task in flight.

kombu 5.7 closes a channel's connection object before the channel has put back what it holds; the channel then asks
the closed one for its address and gets an AttributeError, which Celery does not count as a lost connection: it says
"Unrecoverable error" and exits. Said as what it is, Celery reconnects.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import redis as kombu_redis


class Channel(kombu_redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or getattr(self.connection, "client", None) is None:
            raise redis.ConnectionError("the channel's connection to the broker is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]  # kombu has no types


def repair() -> None:
    """Have every connection of this process make its channels of the repaired kind."""
    kombu_redis.Transport.Channel = Channel
