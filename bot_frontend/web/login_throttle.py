"""How often a token may be guessed: one count for the sign-in and for `Authorization: Bearer`, by address.

A try counts from before its body is read, so that many at once are no way past it, and is taken back if the token was
right. Past TRIES_MAX wrong ones per minute an address is not shut out, because the right token may come from there too:
its tries are judged one per second, and WAITING_MAX of them may wait for that. So are those of all addresses together
that guess behind one proxy.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

TRIES_MAX = 10
TRIES_SECONDS = 60.0
TRIES_MAX_OF_PEER = 100
"""For all addresses that one proxy, or whoever plays one, speaks for. It slows those that have guessed themselves."""
TRIES_FREE = 3
"""Wrong tries of an address that count as no guessing yet: what others behind the same proxy do does not slow it."""
TRIES_MAX_OF_PEER_IN_ALL = 1_000
"""Where addresses are made up each has its free tries, so past this they all are slowed."""

SLOW_SECONDS = 1.0
WAITING_MAX = 10
ADDRESSES_MAX = 1_000


@dataclass(slots=True)
class _Counted:
    wrong: deque[float] = field(default_factory=deque)
    slow_until: float = 0.0
    said_at: float = float("-inf")

    def recent(self, now: float) -> int:
        while self.wrong and self.wrong[0] <= now - TRIES_SECONDS:
            self.wrong.popleft()
        return len(self.wrong)


class LoginThrottle:
    """Of one frontend."""

    def __init__(self) -> None:
        self._counted: dict[str, _Counted] = {}

    async def turn(self, address: str, peer: str) -> Turn | None:
        """When this try may be judged; None where too many wait already.

        address -- for whom it is asked; peer -- whose connection it is.
        """
        now = time.monotonic()
        own, all_of_peer = counted = [self._of(address), self._of(f"all of {peer}")]
        guesses = own.recent(now) >= TRIES_FREE
        most_of_peer = TRIES_MAX_OF_PEER if guesses else TRIES_MAX_OF_PEER_IN_ALL
        bounds = ((own, TRIES_MAX), (all_of_peer, most_of_peer))
        slow = [one for one, most in bounds if one.recent(now) >= most]
        wait = 0.0
        for one in slow:
            wait = max(wait, one.slow_until + SLOW_SECONDS - now, 0.0)
        if wait > WAITING_MAX * SLOW_SECONDS:
            self._say(own, address, now)
            return None
        for one in slow:
            one.slow_until = max(one.slow_until + SLOW_SECONDS, now)
        turn = Turn(now, counted)
        if wait:
            await asyncio.sleep(wait)
        return turn

    def _of(self, name: str) -> _Counted:
        found = self._counted.pop(name, None) or _Counted()
        if len(self._counted) >= ADDRESSES_MAX:
            del self._counted[next(iter(self._counted))]  # the one that has not tried for longest
        self._counted[name] = found
        return found

    def _say(self, counted: _Counted, address: str, now: float) -> None:
        if now - counted.said_at >= TRIES_SECONDS:
            counted.said_at = now
            log.warning("tokens_guessed", address=address)


class Turn:
    """One try, counted as wrong until it was right."""

    def __init__(self, at: float, counted: list[_Counted]) -> None:
        self._at = at
        self._counted = counted
        for one in counted:
            one.wrong.append(at)

    def was_right(self) -> None:
        for one in self._counted:
            if self._at in one.wrong:
                one.wrong.remove(self._at)
