"""What the frontend queues with: an inbox and a publisher on one Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from celery import Celery

from workers.inbox import Inbox, Publisher


@dataclass(frozen=True)
class Queueing:
    redis_url: str
    client: redis.Redis
    inbox: Inbox
    publisher: Publisher


@contextmanager
def queueing_at(redis_url: str) -> Iterator[Queueing]:
    sender = Celery("tests", broker=redis_url, set_as_current=False)
    sender.conf.broker_transport_options = {
        "socket_connect_timeout": 1,
        "socket_timeout": 1,
        "max_retries": 1,
        "interval_start": 0.1,
    }
    with redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
        yield Queueing(redis_url, client, Inbox(client), Publisher(sender))
    sender.close()


def fill_inbox(client: redis.Redis, jobs: int) -> None:
    """Have the inbox count so many jobs more, as of now. A few at once: a command has the time of one command."""
    now = time.time() * 1000
    for first in range(0, jobs, 10_000):
        numbers = range(first, min(jobs, first + 10_000))
        client.zadd("ballast:inbox:all", {f"filler-{number}": now for number in numbers})
