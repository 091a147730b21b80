"""Telegram's sending limits, when on: 30 a second, one a second to a chat, 20 a minute to a group."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

MINUTE_SECONDS = 60.0


@dataclass(slots=True)
class LimitSettings:
    enabled: bool = False
    overall_per_second: float = 30.0
    # Paid broadcasts lift the overall limit to this.
    paid_per_second: float = 1000.0
    chat_per_second: float = 1.0
    # Telegram lets short bursts pass ("sends with short bursts are fine").
    chat_burst: int = 3
    group_per_minute: int = 20


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Limits:
    """Token buckets for seconds, a sliding window for a group's minute. A refused send counts nowhere."""

    def __init__(self, settings: LimitSettings, monotonic: Callable[[], float]) -> None:
        self.settings = settings
        self._as_started = replace(settings)
        self._monotonic = monotonic
        self._buckets: dict[str, _Bucket] = {}
        self._groups: dict[int, deque[float]] = {}

    def wait_seconds(self, chat_id: int, *, paid: bool, pieces: int = 1) -> int:
        """0 when the send may go on (and is counted), else for how many whole seconds it must wait.

        pieces -- messages that it makes: each counts overall and in a group's minute. In its chat an album is one.
        """
        if not self.settings.enabled:
            return 0
        now = self._monotonic()
        limits = self.settings
        overall_rate = limits.paid_per_second if paid else limits.overall_per_second
        overall = self._refilled("paid" if paid else "overall", overall_rate, overall_rate, now)
        chat = self._refilled(f"chat:{chat_id}", limits.chat_per_second, float(limits.chat_burst), now)
        wait = max(
            (min(pieces, overall_rate) - overall.tokens) / overall_rate,
            (1.0 - chat.tokens) / limits.chat_per_second,
            self._group_wait(chat_id, pieces, now) if chat_id < 0 else 0.0,
        )
        if wait > 1e-9:
            return max(1, math.ceil(wait))
        overall.tokens -= pieces
        chat.tokens -= 1.0
        if chat_id < 0:
            self._groups[chat_id].extend([now] * pieces)
        return 0

    def forget(self) -> None:
        """Start counting anew."""
        self._buckets.clear()
        self._groups.clear()

    def reset(self) -> None:
        """The settings the server started with, and nothing counted."""
        self.settings = replace(self._as_started)
        self.forget()

    def _refilled(self, name: str, rate: float, burst: float, now: float) -> _Bucket:
        bucket = self._buckets.setdefault(name, _Bucket(tokens=burst, at=now))
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        return bucket

    def _group_wait(self, chat_id: int, pieces: int, now: float) -> float:
        """Until as many of the last minute's sends are a minute old as must be, for these pieces to be allowed."""
        sends = self._groups.setdefault(chat_id, deque())
        while sends and now - sends[0] >= MINUTE_SECONDS:
            sends.popleft()
        allowed = self.settings.group_per_minute
        excess = len(sends) + min(pieces, allowed) - allowed
        return MINUTE_SECONDS - (now - sends[excess - 1]) if excess > 0 else 0.0
