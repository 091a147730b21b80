"""Ends the spinner of a pressed button: at once if the job has to wait, else if no worker answered the press within
three seconds. What the presser is told is the worker's to say (ballast/telegram/presses.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from telegram import Bot

from ballast.telegram.presses import Presses, answer_press
from ballast.telegram.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)

OUTSTANDING_MAX = 1_000
ANSWERED_AT_ONCE_MAX = 50

WORKER_SECONDS_MAX = 3.0
"""Most presses are carried out within half a second. Telegram takes no answer after some fifteen."""


@dataclass(frozen=True)
class PressReply:
    """What the frontend does about a press.

    by_worker -- a worker is to answer it, unless it is late.
    """

    callback_id: str
    by_worker: bool = False


class CallbackAnswers:
    """Best effort, and beside the job: a lost one costs a spinner, the outcome comes as a message. It works in the
    event loop in which it was made; `answer` may be called from any thread.
    """

    def __init__(self, bot: Bot, rate_limiter: RateLimiter, presses: Presses) -> None:
        self._bot = bot
        self._pacer = rate_limiter
        self._presses = presses
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(ANSWERED_AT_ONCE_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, reply: PressReply) -> None:
        self._loop.call_soon_threadsafe(self._begin, reply)

    def _begin(self, reply: PressReply) -> None:
        if len(self._tasks) >= OUTSTANDING_MAX:
            log.warning("callback_answer_skipped", outstanding=len(self._tasks))
            return
        task = asyncio.create_task(self._answer(reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, reply: PressReply) -> None:
        if reply.by_worker:
            await asyncio.sleep(WORKER_SECONDS_MAX)
        async with self._slots:
            await answer_press(self._bot, self._presses, self._pacer, reply.callback_id)
