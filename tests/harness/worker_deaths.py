"""What the tests share that stop or kill a worker in the middle of something."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import psycopg2

from ballast.inbox.limits import TAKE_OVER_MS
from devstack.stack import Stack

CLAIMED_BY_WRITE_SECONDS = TAKE_OVER_MS / 1000
"""After so long a message bears no claim any more that a worker would take over: it claims the job with others."""


@contextmanager
def frozen(stack: Stack, name: str) -> Iterator[None]:
    parent = psutil.Process(stack.pid(name))
    processes = [parent, *parent.children()]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)


def held_at_once(stack: Stack) -> int:
    """Jobs that one process holds, at the most."""
    return max(int(stack.redis.scard(key)) for key in stack.redis.scan_iter("ballast:inbox:held:*"))


def lock_account(stack: Stack, telegram_id: int, locking: ExitStack) -> None:
    connection = psycopg2.connect(stack.database_url)
    locking.callback(connection.close)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM accounts a JOIN users u ON u.id = a.user_id WHERE telegram_id = %s FOR UPDATE OF a",
            (telegram_id,),
        )


def waits_for_a_lock(stack: Stack) -> bool:
    return bool(
        stack.query(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    )
