"""Delivery to the bot's webhook: in order within a queue, side by side across queues, until it is taken.

A queue is a chat for messages and a user for presses, as with Telegram: a press and a message may overtake
each other. The first retry comes at once, then after 2, 4, 8 … 60 seconds, or when Retry-After says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from devstack.telegram.clock import Clock
from devstack.telegram.state.store import Store
from devstack.telegram.state.updates import Update, Updates

RETRY_SECONDS_MAX = 60.0
RETRY_AFTER_SECONDS_MAX = 3600.0
RESPONSE_SECONDS_MAX = 60.0
# As many updates are looked at as could keep every connection busy, and not the whole backlog.
LOOKED_AT_MAX = 1000

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"

Reply = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    url: str
    secret_token: str = ""
    max_connections: int = 40
    ip_address: str | None = None
    has_custom_certificate: bool = False


@dataclass(slots=True)
class _Failure:
    """What went wrong with the update at the head of a queue, and when it may be tried again."""

    seq: int
    attempts: int
    delay_seconds: float
    retry_at: float


class Webhook:
    """Delivers pending updates while a webhook is set."""

    def __init__(self, store: Store, updates: Updates, clock: Clock, reply: Reply) -> None:
        self._store = store
        self._updates = updates
        self._clock = clock
        self._reply = reply
        self._task: asyncio.Task[None] | None = None
        self._failures: dict[str, _Failure] = {}
        self.last_error_date: int | None = None
        self.last_error_message: str | None = None

    @property
    def settings(self) -> WebhookSettings | None:
        kept = self._store.fact("webhook")
        return None if kept is None else WebhookSettings(**kept)

    async def set(self, settings: WebhookSettings | None) -> None:
        """Deliver to another place from now on, or (None) no more."""
        await self.stop()
        self._store.set_fact("webhook", None if settings is None else asdict(settings))
        self.last_error_date = self.last_error_message = None
        self.start()

    def start(self) -> None:
        settings = self.settings
        if settings is not None:
            self._failures = {}
            self._task = asyncio.create_task(self._deliver(settings))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def info(self) -> dict[str, Any]:
        """The Bot API's WebhookInfo."""
        settings = self.settings
        info: dict[str, Any] = {
            "url": settings.url if settings else "",
            "has_custom_certificate": bool(settings and settings.has_custom_certificate),
            "pending_update_count": self._updates.pending_count(),
        }
        if settings is not None:
            info["max_connections"] = settings.max_connections
            if settings.ip_address:
                info["ip_address"] = settings.ip_address
            if self.last_error_date is not None:
                info["last_error_date"] = self.last_error_date
                info["last_error_message"] = self.last_error_message
        if self._updates.allowed:
            info["allowed_updates"] = self._updates.allowed
        return info

    async def _deliver(self, settings: WebhookSettings) -> None:
        timeout = aiohttp.ClientTimeout(total=RESPONSE_SECONDS_MAX)
        connector = aiohttp.TCPConnector(limit=settings.max_connections)
        running: dict[asyncio.Task[None], str] = {}
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            try:
                while True:
                    loop_time = asyncio.get_running_loop().time()
                    busy = set(running.values())
                    wake_at = loop_time + RETRY_SECONDS_MAX
                    for update in self._updates.pending(LOOKED_AT_MAX):
                        if update.queue in busy:
                            continue
                        busy.add(update.queue)  # only the head of a queue may go
                        failure = self._failures.get(update.queue)
                        if failure is not None and failure.retry_at > loop_time:
                            wake_at = min(wake_at, failure.retry_at)
                            continue
                        if len(running) >= settings.max_connections:
                            break
                        running[asyncio.create_task(self._send(session, settings, update))] = update.queue
                    arrived = self._updates.arrived.next_ring()
                    events: set[asyncio.Future[Any]] = {arrived, *running}
                    await asyncio.wait(
                        events, timeout=wake_at - loop_time, return_when=asyncio.FIRST_COMPLETED
                    )
                    arrived.cancel()
                    for task in [task for task in running if task.done()]:
                        del running[task]
                        task.result()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _send(self, session: aiohttp.ClientSession, settings: WebhookSettings, update: Update) -> None:
        headers = {SECRET_HEADER: settings.secret_token} if settings.secret_token else {}
        failure = self._failures.get(update.queue)
        attempt = failure.attempts + 1 if failure is not None and failure.seq == update.seq else 1
        status: int | None = None
        retry_after = 0.0
        body = b""
        self._updates.hand_out([update])
        await self._store.committed()
        try:
            async with session.post(settings.url, json=update.payload, headers=headers) as response:
                body = await response.read()
                status = response.status
                retry_after = _seconds(response.headers.get("Retry-After"))
                reason = response.reason or ""
        except aiohttp.ClientConnectorError:
            problem = "Connection refused"
        except TimeoutError:
            problem = "Read timeout expired"
        except aiohttp.ClientError:
            problem = "Connection reset by peer"
        else:
            problem = "" if 200 <= status < 300 else f"Wrong response from the webhook: {status} {reason}"
        self._note(update, attempt, status, problem)
        if problem:
            self._put_off(update, attempt, retry_after)
        else:
            self._failures.pop(update.queue, None)
            self._updates.acknowledge(update, "webhook")
            await self._reply_with(body)

    def _note(self, update: Update, attempt: int, status: int | None, problem: str) -> None:
        self._store.insert(
            "INSERT INTO webhook_deliveries (seq, update_id, attempt, at, status, error)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            update.seq,
            update.update_id,
            attempt,
            self._clock.now(),
            status,
            problem or None,
        )
        if problem:
            self.last_error_date = self._clock.date()
            self.last_error_message = problem

    def _put_off(self, update: Update, attempt: int, retry_after_seconds: float) -> None:
        before = self._failures.get(update.queue)
        delay = before.delay_seconds if before is not None and before.seq == update.seq else 1.0
        wait = min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX)
        if wait == 0 and attempt > 1:
            delay = min(RETRY_SECONDS_MAX, delay * 2)
            wait = delay
        retry_at = asyncio.get_running_loop().time() + wait
        self._failures[update.queue] = _Failure(update.seq, attempt, delay, retry_at)

    async def _reply_with(self, body: bytes) -> None:
        """A webhook's answer may itself be a method call."""
        try:
            call = json.loads(body) if body else None
        except ValueError:
            return
        if isinstance(call, dict) and isinstance(call.get("method"), str):
            await self._reply(call)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
