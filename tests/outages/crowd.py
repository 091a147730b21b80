"""People who go on writing, whatever becomes of the database: half of it reads, half of it writes, by a seed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from devstack.telegram.control import TelegramControl
from tests.outages.site import ADMIN_IDS

USERS = 60
FIRST_USER_ID = 6001
PURSE_ID = 7001
"""Whom the admins credit: somebody who never writes, so that each message in another's chat answers a command."""


@dataclass
class Written:
    """What was asked for. Texts of writes end in a mark of their own, in the order they were sent by each person."""

    commands: int = 0
    drafts: dict[int, list[str]] = field(default_factory=dict)
    credits: dict[int, list[str]] = field(default_factory=dict)


async def register(telegram: TelegramControl) -> None:
    people = [*range(FIRST_USER_ID, FIRST_USER_ID + USERS), PURSE_ID]
    for person in people:
        await telegram.create_user(f"Person {person}", user_id=person, username=f"person{person}")
        await telegram.send_text(person, "/start")
    for person in people:
        await telegram.wait_for_message(person, lambda message: "Welcome" in message.text, timeout_seconds=60)
        await telegram.send_text(ADMIN_IDS[0], f"/credit {person} 1000 start-{person}")


async def write(
    telegram: TelegramControl, written: Written, *, seed: str, per_second: float, stop: asyncio.Event
) -> None:
    """Send commands at an even pace until told to stop; everybody in turn, an admin each tenth time."""
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    started = loop.time()
    number = 0
    async with asyncio.TaskGroup() as sending:
        while not stop.is_set():
            await asyncio.sleep(max(0.0, started + number / per_second - loop.time()))
            sending.create_task(_say(telegram, written, draw, number, seed))
            number += 1
            written.commands += 1


async def _say(
    telegram: TelegramControl, written: Written, draw: random.Random, number: int, seed: str
) -> None:
    if number % 10 == 9:
        admin = ADMIN_IDS[number // 10 % len(ADMIN_IDS)]
        mark = f"{seed}-{number}"
        written.credits.setdefault(admin, []).append(mark)
        await telegram.send_text(admin, f"/credit {PURSE_ID} 0.01 {mark}")
        return
    person = FIRST_USER_ID + number % USERS
    if draw.random() < 0.5:
        await telegram.send_text(person, "/balance")
    else:
        mark = f"{seed}-{number}"
        written.drafts.setdefault(person, []).append(mark)
        await telegram.send_text(person, f"/send {PURSE_ID} 0.01 {mark}")
