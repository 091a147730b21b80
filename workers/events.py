"""Sends events to EVENTS_URL: at least once each, those of one person in order, signed as Standard Webhooks says.

    events (PostgreSQL) ── due() ──▶ POST, several people's at once ──▶ settle(): taken are forgotten, others come again
                                        a crash before that: they are sent again

One process at a time sends, by a lock in Redis that ends by itself. An event was taken if the answer is 2xx.

That an outage began no database can say: it is sent from what Redis has of it (OutageTeller), again until it was taken
or the outage is over.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import redis
import structlog

import ballast
from ballast.inbox import Publisher
from ballast.queueing import event_asking
from dbcore import events
from dbcore.breaker import outage_history
from dbcore.events import Event
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

AT_ONCE = 20
SEND_SECONDS_MAX = 5.0
RUN_SECONDS_MAX = 5.0
"""Then the next run is asked for, so that others get their turn."""

OUTAGE_BEGAN = "outage.began"

LOCK_SECONDS = 60.0
"""Longer than a run and the last of its sends, and what the database takes."""

_LOCK = "ballast:events:sending"


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it is sent. name -- its webhook-id."""

    name: str
    kind: str
    created_at: datetime
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> Message:
        return cls(f"evt_{event.id}", event.kind, event.created_at, event.data)


class Webhook:
    """Where events go. url -- of the receiver. secret -- the bytes that both sides know."""

    def __init__(self, url: str, secret: bytes, *, send_seconds_max: float = SEND_SECONDS_MAX) -> None:
        self._url = url
        self._secret = secret
        self._seconds_max = send_seconds_max

    @classmethod
    def of(cls, settings: Settings) -> Webhook | None:
        """None without EVENTS_URL."""
        if settings.events_url is None:
            return None
        return cls(settings.events_url.get_secret_value(), settings.events_secret_bytes)

    def send(self, batch: Sequence[Message]) -> list[bool]:
        """All at once; which of them were taken."""
        return asyncio.run(self._send(batch))

    async def _send(self, batch: Sequence[Message]) -> list[bool]:
        timeout = aiohttp.ClientTimeout(total=self._seconds_max)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            return await asyncio.gather(*(self._send_one(session, message) for message in batch))

    async def _send_one(self, session: aiohttp.ClientSession, message: Message) -> bool:
        body, headers = signed(message, self._secret, int(time.time()))
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                if 200 <= answer.status < 300:
                    return True
                error = f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as failed:
            error = type(failed).__name__
        log.warning("event_not_taken", webhook_id=message.name, kind=message.kind, error=error)
        return False


class OutageTeller:
    """Says that an outage began, or a pause, while it is on."""

    def __init__(self, client: redis.Redis, webhook: Webhook) -> None:
        self._redis = client
        self._webhook = webhook

    def tell(self) -> bool:
        """Whether the receiver took it now. Raises redis.RedisError."""
        history = outage_history.read(self._redis)
        outage = history.outages[0] if history.outages else None
        if outage is None or outage.ended_at is not None:
            return False
        if event_asking.outage_is_told(self._redis, outage.began_at):
            return False
        data = {"began_at": outage.began_at, "reason": outage.reason, "paused_by": outage.paused_by}
        name = f"evt_outage_{round(1000 * outage.began_at)}"
        began = datetime.fromtimestamp(outage.began_at, UTC)
        (taken,) = self._webhook.send([Message(name, OUTAGE_BEGAN, began, data)])
        if taken:
            event_asking.note_outage_told(self._redis, outage.began_at)
        return taken


class EventSender:
    """What the database has to tell."""

    def __init__(
        self,
        client: redis.Redis,
        engine: GuardedEngine,
        publisher: Publisher,
        webhook: Webhook,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._engine = engine
        self._publisher = publisher
        self._webhook = webhook
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
            taken = self._webhook.send([Message.of(event) for event in batch])
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


def signed(message: Message, secret: bytes, now: int) -> tuple[bytes, dict[str, str]]:
    """Its body and headers. now -- seconds since 1970."""
    body = json.dumps(
        {"type": message.kind, "timestamp": message.created_at.isoformat(), "data": message.data},
        ensure_ascii=False,
    ).encode()
    mac = hmac.new(secret, f"{message.name}.{now}.".encode() + body, hashlib.sha256).digest()
    return body, {
        "Content-Type": "application/json",
        "User-Agent": f"Ballast/{ballast.__version__}",
        "webhook-id": message.name,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
