"""What is remembered between two edits of a broadcast's card, whichever process makes them.

ballast:broadcast:card:<id>        string   the view that an admin turned it to; gone after a while
ballast:broadcast:card:<id>:turn   integer  how many edits were begun: a request joins one that has not
ballast:broadcast:card:<id>:slot   string   there until the next edit may follow
ballast:broadcast:seen:<id>        list     "<unix time> <recipients done>", the last few
"""

from __future__ import annotations

from enum import StrEnum
from typing import cast

import redis

from ballast.broadcasts.progress import Meter

CARD_SECONDS = 3.0
"""Between the end of an edit and the next."""

VIEW_SECONDS = 120
"""An unanswered question is taken back."""

KEPT_SECONDS = 7 * 86_400
SEEN_KEPT = 16
SEEN_SECONDS = 60


class View(StrEnum):
    """Which buttons a card shows."""

    MAIN = "main"
    SEGMENT = "segment"
    WHEN = "when"
    CANCEL = "cancel"
    ERASE = "erase"


class Cards:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def turn_to(self, broadcast_id: int, view: View) -> None:
        if view is View.MAIN:
            self._redis.delete(_key(broadcast_id))
        else:
            self._redis.set(_key(broadcast_id), view.value, ex=VIEW_SECONDS)

    def view(self, broadcast_id: int) -> View:
        value = cast("bytes | None", self._redis.get(_key(broadcast_id)))
        return View.MAIN if value is None else View(value.decode())

    def turn(self, broadcast_id: int) -> int:
        """The number of the edit that comes next."""
        return int(cast("bytes | None", self._redis.get(f"{_key(broadcast_id)}:turn")) or 0)

    def begin_turn(self, broadcast_id: int) -> None:
        """The edit begins: what is asked for from now on needs another."""
        with self._redis.pipeline() as pipeline:
            pipeline.incr(f"{_key(broadcast_id)}:turn")
            pipeline.expire(f"{_key(broadcast_id)}:turn", KEPT_SECONDS)
            pipeline.execute()

    def seconds_to_wait(self, broadcast_id: int, *, at_once: bool) -> float:
        """0 where the card may be edited now, which is counted then.

        at_once -- an admin pressed a button, and waits.
        """
        slot = f"{_key(broadcast_id)}:slot"
        if self._redis.set(slot, 1, px=round(1000 * CARD_SECONDS), nx=not at_once):
            return 0.0
        return max(0.05, self._redis.pttl(slot) / 1000)

    def edited(self, broadcast_id: int) -> None:
        """Telegram has it: from now on the next one waits, however long this one was on its way."""
        self._redis.set(f"{_key(broadcast_id)}:slot", 1, px=round(1000 * CARD_SECONDS))

    def measured_rate(self, broadcast_id: int, done: int) -> float | None:
        """Recipients a second over the last half minute; None until there is something to measure."""
        key = f"ballast:broadcast:seen:{broadcast_id}"
        seconds, microseconds = self._redis.time()
        with self._redis.pipeline() as pipeline:
            pipeline.rpush(key, f"{seconds + microseconds / 1e6:.3f} {done}")
            pipeline.ltrim(key, -SEEN_KEPT, -1)
            pipeline.expire(key, SEEN_SECONDS)
            pipeline.lrange(key, 0, -1)
            seen = cast("list[bytes]", pipeline.execute()[-1])
        meter = Meter()
        rate = None
        for each in seen:
            at, count = each.split()
            rate = meter.see(int(count), float(at))
        return rate


def _key(broadcast_id: int) -> str:
    return f"ballast:broadcast:card:{broadcast_id}"
