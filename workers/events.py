"""Sends events to EVENTS_URL: at least once each, those of one person in order, signed as Standard Webhooks says.

    events (PostgreSQL) ── due() ──▶ POST, several people's at once ──▶ settle(): taken are forgotten, others come again
                                        a crash before that: they are sent again

One process at a time sends, by a lock in Redis that ends by itself. An event was taken if the answer is 2xx.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence

import aiohttp
import redis
import structlog

import ballast
from ballast import event_asking
from ballast.inbox import Publisher
from dbcore import events
from dbcore.events import Event
from dbcore.guard.engine import GuardedEngine

log = structlog.get_logger(__name__)

AT_ONCE = 20
SEND_SECONDS_MAX = 5.0
RUN_SECONDS_MAX = 5.0
"""Then the next run is asked for, so that others get their turn."""

LOCK_SECONDS = 60.0
"""Longer than a run and the last of its sends, and what the database takes."""

_LOCK = "ballast:events:sending"


class EventSender:
    """url -- of the receiver. secret -- the bytes that both sides know."""

    def __init__(
        self,
        client: redis.Redis,
        engine: GuardedEngine,
        publisher: Publisher,
        *,
        url: str,
        secret: bytes,
        send_seconds_max: float = SEND_SECONDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._engine = engine
        self._publisher = publisher
        self._url = url
        self._secret = secret
        self._seconds_max = send_seconds_max
        self._clock = clock

    def run(self) -> int:
        """Until none is due, the time is up or the receiver takes nothing; how many it took. Raises DatabaseAway,
        redis.RedisError: what is left comes again.
        """
        lock = self._redis.lock(_LOCK, timeout=LOCK_SECONDS, blocking=False)
        if not lock.acquire():
            return 0
        try:
            event_asking.begins(self._redis)
            return self._run()
        finally:
            if lock.owned():
                lock.release()

    def _run(self) -> int:
        until = self._clock() + RUN_SECONDS_MAX
        count = 0
        while batch := events.due(self._engine, AT_ONCE):
            taken = asyncio.run(self._send(batch))
            sent = [event.id for event, was_taken in zip(batch, taken, strict=True) if was_taken]
            failed = [event.id for event, was_taken in zip(batch, taken, strict=True) if not was_taken]
            events.settle(self._engine, sent=sent, failed=failed)
            count += len(sent)
            if not sent:
                event_asking.spare(self._redis)
                break
            if self._clock() >= until:
                event_asking.ask(self._redis, self._publisher)
                break
        return count

    async def _send(self, batch: Sequence[Event]) -> list[bool]:
        timeout = aiohttp.ClientTimeout(total=self._seconds_max)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            return await asyncio.gather(*(self._send_one(session, event) for event in batch))

    async def _send_one(self, session: aiohttp.ClientSession, event: Event) -> bool:
        body, headers = signed(event, self._secret, int(time.time()))
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                if 200 <= answer.status < 300:
                    return True
                error = f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as failed:
            error = type(failed).__name__
        log.warning(
            "event_not_taken", event_id=event.id, kind=event.kind, attempt=event.attempts + 1, error=error
        )
        return False


def signed(event: Event, secret: bytes, now: int) -> tuple[bytes, dict[str, str]]:
    """An event's body and headers. now -- seconds since 1970."""
    body = json.dumps(
        {"type": event.kind, "timestamp": event.created_at.isoformat(), "data": event.data},
        ensure_ascii=False,
    ).encode()
    name = f"evt_{event.id}"
    mac = hmac.new(secret, f"{name}.{now}.".encode() + body, hashlib.sha256).digest()
    return body, {
        "Content-Type": "application/json",
        "User-Agent": f"Ballast/{ballast.__version__}",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
