"""Commands a second, end to end: from the update at Telegram to the reply at Telegram.

All commands lie ready at the local Telegram before the frontend is let go, so what is measured is Ballast and not
the pace of the people. Every part is real: PostgreSQL and Redis with fsync, worker processes, HTTP.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbcore.migrate import upgrade
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, TOKEN, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess

USERS = 50
REPLIES_SECONDS_MAX = 300.0
LOOK_EVERY_SECONDS = 0.05
SENDING = frozenset({"sendMessage", "editMessageText"})
PEER = {"workers": "benchmarks.without_inbox", "bot_frontend": "benchmarks.without_inbox"}
"""Where the peer's processes differ: the Celery application and the frontend's module."""


def run(commands: int, rounds: int = 2) -> dict[str, Any]:
    """Measure `/balance` (a read) and Confirm under a /credit (a ledger write), with the inbox and without, in turns.

    commands -- of each, a multiple of USERS.
    rounds -- how often each side has its turn; what else the machine does hits both alike.
    Returns how many a second were answered, by side, and the ratio.
    """
    found: dict[str, list[dict[str, Any]]] = {"ballast": [], "without_inbox": []}
    for _ in range(rounds):
        for side, measured in found.items():
            measured.append(_one_stack(commands, without_inbox=side == "without_inbox"))
    results: dict[str, Any] = {"users": USERS, "commands": commands * rounds}
    for name in ("balance", "credit"):
        rates = {
            side: commands * rounds / sum(measured[name] for measured in rounds_of_side)
            for side, rounds_of_side in found.items()
        }
        results[name] = {
            "per_second": round(rates["ballast"], 1),
            "without_inbox_per_second": round(rates["without_inbox"], 1),
            "ratio": round(rates["ballast"] / rates["without_inbox"], 3),
        }
    return results


def _one_stack(commands: int, *, without_inbox: bool) -> dict[str, float]:
    """Seconds that each burst took, on servers and processes of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ballast-bench-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
    postgres = EmbeddedPostgres(folder / "postgres", free_port())
    redis = EmbeddedRedis(folder / "redis", free_port())
    telegram = TelegramProcess(folder / "telegram", free_port(), TOKEN, admin_ids=(ADMIN_ID,))
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        for server in (postgres, redis, telegram):
            server.start()
            closing.callback(server.stop)
        upgrade(postgres.url)
        stack = Stack(
            folder,
            database_url=postgres.url,
            redis_url=redis.url,
            telegram_url=telegram.url,
            ADMIN_IDS=",".join(str(ADMIN_ID + number) for number in range(USERS + 1)),
        )
        closing.callback(stack.stop_all)
        for name in ("frontend", "main", "light"):
            program = stack.program(name)
            if without_inbox:
                program = replace(program, argv=[PEER.get(part, part) for part in program.argv])
            stack.run(name, program)
        stack.wait_ready(processes=3)
        return asyncio.run(_measure(stack, telegram.url, commands))


async def _measure(stack: Stack, telegram_url: str, commands: int) -> dict[str, float]:
    async with TelegramControl(telegram_url) as telegram:
        people = list(await telegram.create_users(USERS, first_id=ADMIN_ID + 1, first_name="Person"))
        turns = [people[number % len(people)] for number in range(commands)]
        await _burst(stack, telegram, [telegram.send_text(person, "/start") for person in people])
        balance = await _burst(stack, telegram, [telegram.send_text(person, "/balance") for person in turns])
        await _burst(
            stack, telegram, [telegram.send_text(person, f"/credit {people[0]} 1") for person in turns]
        )
        cards = [
            card
            for person in people
            for card in await telegram.messages(person, from_bot=True)
            if card.buttons
        ]
        # The one who is credited is told too, except where they credit themselves.
        replies = 2 * commands - commands // USERS
        presses = [telegram.press_button(card.chat_id, card, "Confirm") for card in cards]
        return {"balance": balance, "credit": await _burst(stack, telegram, presses, replies=replies)}


async def _burst(
    stack: Stack,
    telegram: TelegramControl,
    asked: Sequence[Awaitable[object]],
    *,
    replies: int | None = None,
) -> float:
    """Queue what people ask at Telegram, let the frontend go, and wait for all replies (one each if not given).

    Returns seconds.
    """
    expected = await _replies(telegram) + (len(asked) if replies is None else replies)
    stack.send_signal("frontend", signal.SIGSTOP)
    for ask in asked:
        await ask
    loop = asyncio.get_running_loop()
    stack.send_signal("frontend", signal.SIGCONT)
    started = loop.time()
    while (answered := await _replies(telegram)) < expected:
        if loop.time() - started > REPLIES_SECONDS_MAX:
            raise TimeoutError(f"{expected - answered} replies are missing\n{stack.log('main')[-3000:]}")
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return loop.time() - started


async def _replies(telegram: TelegramControl) -> int:
    """Messages that were sent, or edited: a card becomes its own answer."""
    counts = await telegram.request_counts()
    return sum(row["count"] for row in counts if row["method"] in SENDING and row["outcome"] == "ok")
