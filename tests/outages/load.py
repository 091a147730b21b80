"""People who go on writing, whatever becomes of the database: half of it reads, half of it writes, by a seed."""

from __future__ import annotations

import asyncio
import random

from devstack.telegram.control import TelegramControl
from tests.outages.environment import ADMIN_IDS

USERS = 60
FIRST_USER_ID = 6001
PURSE_ID = 7001
"""Whom the admins credit: somebody who never writes, so that each message in another's chat answers a command."""


async def register(telegram: TelegramControl) -> None:
    people = [*range(FIRST_USER_ID, FIRST_USER_ID + USERS), PURSE_ID]
    for person in people:
        await telegram.create_user(f"Person {person}", user_id=person, username=f"person{person}")
        await telegram.send_text(person, "/start")
    for person in people:
        await telegram.wait_for_message(person, lambda message: "Welcome" in message.text, timeout_seconds=60)
        asked = await telegram.send_text(ADMIN_IDS[0], f"/credit {person} 1000 start-{person}")
        card = await telegram.wait_for_message(
            ADMIN_IDS[0],
            lambda message: "Balance after" in message.text,
            after=asked.message.revision,
            timeout_seconds=60,
        )
        await telegram.press_button(ADMIN_IDS[0], card, "Confirm")


async def write(telegram: TelegramControl, *, seed: str, per_second: float, stop: asyncio.Event) -> int:
    """Send commands at an even pace until told to stop; everybody in turn, an admin each tenth time. How many."""
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    started = loop.time()
    number = 0
    async with asyncio.TaskGroup() as sending:
        while not stop.is_set():
            await asyncio.sleep(max(0.0, started + number / per_second - loop.time()))
            person, text = _command(draw, number, f"mark-{seed}-{number}")
            sending.create_task(telegram.send_text(person, text))
            number += 1
    return number


def _command(draw: random.Random, number: int, mark: str) -> tuple[int, str]:
    """Who says what. Writes end in a mark of their own, which is no number: one may not follow an amount."""
    if number % 10 == 9:
        return ADMIN_IDS[number // 10 % len(ADMIN_IDS)], f"/credit {PURSE_ID} 0.01 {mark}"
    person = FIRST_USER_ID + number % USERS
    return person, "/balance" if draw.random() < 0.5 else f"/send {PURSE_ID} 0.01 {mark}"
