"""Jobs that no frontend makes: one that kills its worker, and a credit that takes as long as a test wants and tells
nobody, so that it needs no Telegram.
"""

from __future__ import annotations

import os
import signal
import time

import redis
from pydantic import Field

from ballast.jobs import Job
from ballast.messages import Message
from dbcore.ledger import ledger, users
from workers.task_context import TaskContext
from workers.tasks.job_task import job_task

GATE_KEY = "chaos:gate"
"""Gated jobs go on once this key exists."""
GATE_SECONDS_MAX = 50.0
LOOK_EVERY_SECONDS = 0.05


class Poison(Job):
    """Kills the process that carries it out, each time."""

    kind = "balances.poison"


class SilentCredit(Job):
    """Credits a user, where `gated` once the gate is open; says in Redis how often it was begun."""

    kind = "balances.silent"
    telegram_id: int
    amount: int = Field(gt=0)
    gated: bool = False


def begun_key(job_id: str) -> str:
    return f"chaos:begun:{job_id}"


@job_task(Poison)
def poison(task: TaskContext[Poison]) -> list[Message]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(f"{task.job_id} outlived its own kill -9")


@job_task(SilentCredit)
def silent_credit(task: TaskContext[SilentCredit]) -> list[Message]:
    task.worker.redis.incr(begun_key(task.job_id))
    deadline = time.monotonic() + GATE_SECONDS_MAX
    while task.job.gated and time.monotonic() < deadline and not _gate_is_open(task.worker.redis):
        time.sleep(LOOK_EVERY_SECONDS)
    ledger.adjust(
        task.engine,
        key=task.job_id,
        target=users.UserRef(telegram_id=task.job.telegram_id, username=None),
        amount=task.job.amount,
        memo=task.job_id,
        actor="chaos",
    )
    return []


def _gate_is_open(client: redis.Redis) -> bool:
    try:
        return bool(client.exists(GATE_KEY))
    except redis.RedisError:  # its connection is what some tests cut
        return False
