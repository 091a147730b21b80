"""Whether updates reach us: what the intake last heard from Telegram, and how it last failed, for the pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Mode = Literal["polling", "webhook"]


@dataclass(frozen=True, slots=True)
class IntakeHealth:
    """As it is now.

    ok -- None where nothing was heard yet, and nothing failed: by webhook nobody knows then.
    heard_ago_seconds -- since Telegram last answered getUpdates, or delivered an update that was taken.
    pending -- updates that Telegram keeps for the webhook, as it said last.
    """

    mode: Mode
    ok: bool | None
    error: str | None
    heard_ago_seconds: float | None
    pending: int | None = None


class Receiver:
    """Told by the poller or the webhook, asked by the pages. From any thread: each value is set in one step."""

    def __init__(self, mode: Mode, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mode = mode
        self._clock = clock
        self._heard_at: float | None = None
        self._error: str | None = None
        self._webhook_error: str | None = None
        self._pending: int | None = None

    def heard(self) -> None:
        self._heard_at = self._clock()
        self._error = self._webhook_error = None

    def registered(self) -> None:
        """Telegram knows where to deliver; nothing was heard by it yet."""
        self._error = None

    def failed(self, error: str) -> None:
        """error -- a word for it, without addresses and without people: /health shows it to everybody."""
        self._error = error

    def looked_up(self, error: str | None, pending: int) -> None:
        """What Telegram says of the webhook. error -- as with `failed`; None where it delivers."""
        self._webhook_error = error
        self._pending = pending

    def now(self) -> IntakeHealth:
        ago = None if self._heard_at is None else self._clock() - self._heard_at
        error = self._error or self._webhook_error
        ok = False if error is not None else None if ago is None else True
        return IntakeHealth(self._mode, ok, error, ago, self._pending)
