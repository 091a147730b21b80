"""What the frontend queues with: an inbox and a publisher on one Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from ballast.inbox import Inbox, Publisher
from bot_frontend.callbacks import PressReply
from bot_frontend.intake import Intake


@dataclass(frozen=True)
class Queueing:
    redis_url: str
    client: redis.Redis
    inbox: Inbox
    publisher: Publisher


@contextmanager
def queueing_at(redis_url: str) -> Iterator[Queueing]:
    with redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
        yield Queueing(redis_url, client, Inbox(client), Publisher(client))


def take(intake: Intake, update: Any) -> PressReply | None:
    """Take one update alone. Raises what kept it from being recorded."""
    (taken,) = intake.take_many([update])
    if isinstance(taken, Exception):
        raise taken
    return taken


def fill_inbox(client: redis.Redis, jobs: int) -> None:
    """Have the inbox count so many jobs more, as of now. A few at once: a command has the time of one command."""
    now = time.time() * 1000
    for first in range(0, jobs, 10_000):
        numbers = range(first, min(jobs, first + 10_000))
        client.zadd("ballast:inbox:all", {f"filler-{number}": now for number in numbers})
