"""The simulated people at their phones: they carry out the plan, whatever happens to the cluster.

A phone whose connection breaks tries again, and so do they; what was asked is read from the local Telegram's record
later, never from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import aiohttp

from devstack.telegram.control import ControlRefusedError, TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.chaos.plan import START_CREDIT, Act, ActKind, user_ids, username
from tests.harness.cluster import ADMIN_IDS

T = TypeVar("T")

INSIST_SECONDS_MAX = 120.0
INSIST_PAUSE_SECONDS = 0.2
QUESTION_SECONDS_MAX = 240.0
LONG_POLL_SECONDS = 5.0

NETWORK_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)


class Crowd:
    """Everybody together. `said` is what they wrote, for the auditor to find again."""

    def __init__(self, telegram: TelegramControl) -> None:
        self._telegram = telegram
        self.said: list[tuple[int, str]] = []
        self._updates: dict[int, list[int]] = {}

    async def register(self) -> None:
        """Everybody is known to the bot and has money, before the weather changes."""
        for user in user_ids():
            await self._telegram.create_user(f"Person {user}", user_id=user, username=username(user))
        for person in (*user_ids(), *ADMIN_IDS):
            await self._say(person, "/start")
        for number, user in enumerate(user_ids()):
            admin = ADMIN_IDS[number % len(ADMIN_IDS)]
            text = f"/credit {user} {START_CREDIT} reason-start-{user}"
            revision = await self._say(admin, text)
            await self._decide(admin, Act(0.0, ActKind.CREDIT, text, button="Confirm"), revision)

    async def live(self, plans: Mapping[int, Sequence[Act]]) -> None:
        """Until everybody did all that they planned, and pressed every button they meant to."""
        started = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as everybody:
            for person, acts in plans.items():
                everybody.create_task(self._person(everybody, person, acts, started))

    async def _person(
        self, everybody: asyncio.TaskGroup, person: int, acts: Sequence[Act], started: float
    ) -> None:
        loop = asyncio.get_running_loop()
        for act in acts:
            await asyncio.sleep(max(0.0, started + act.at_seconds - loop.time()))
            if act.kind is ActKind.REDELIVER:
                await self._redeliver(person, act.pick)
                continue
            revision = await self._say(person, act.text)
            if act.button:
                everybody.create_task(self._decide(person, act, revision))

    async def _say(self, person: int, text: str) -> int:
        """Write once: after a broken connection the chat shows whether it went out. Returns the revision."""
        before = self.said.count((person, text))
        self.said.append((person, text))

        async def say() -> tuple[int, int | None]:
            mine = await self._telegram.messages(person, from_bot=False)
            same = [message for message in mine if message.text == text]
            if len(same) > before:
                return same[-1].revision, None
            sent = await self._telegram.send_text(person, text)
            return sent.message.revision, sent.update_id

        revision, update_id = await insist(say)
        if update_id is not None:
            self._updates.setdefault(person, []).append(update_id)
        return revision

    async def _redeliver(self, person: int, pick: float) -> None:
        known = self._updates.get(person)
        if known:
            update_id = known[int(pick * len(known))]
            await insist(lambda: self._telegram.redeliver(update_id))

    async def _decide(self, person: int, act: Act, revision: int) -> None:
        memo = act.text.rsplit(" ", 1)[1]
        question = await self._question(person, memo, revision)
        data = next(data for label, data in question.buttons if act.button in label)
        assert data is not None
        await self._press(person, question.message_id, data, act.deliveries)
        if act.again_after_seconds is not None:
            await asyncio.sleep(act.again_after_seconds)
            await self._press(person, question.message_id, data, 1)

    async def _press(self, person: int, message_id: int, data: str, deliveries: int) -> None:
        pressed = await insist(
            lambda: self._telegram.press(person, message_id, data, deliveries=deliveries, force=True)
        )
        self._updates.setdefault(person, []).extend(
            press.update_id for press in pressed if press.update_id is not None
        )

    async def _question(self, person: int, memo: str, revision: int) -> SeenMessage:
        """The question with this memo. Raises TimeoutError where none comes: the auditor will say more."""
        after = revision
        async with asyncio.timeout(QUESTION_SECONDS_MAX):
            while True:

                async def look(after: int = after) -> list[SeenMessage]:
                    return await self._telegram.messages(
                        person, after=after, from_bot=True, wait_seconds=LONG_POLL_SECONDS
                    )

                for message in await insist(look):
                    if message.buttons and message.text.splitlines()[-2].strip("“”") == memo:
                        return message
                    after = message.revision


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Do it again while the local Telegram is down. What it refuses is an error at once."""
    async with asyncio.timeout(INSIST_SECONDS_MAX):
        while True:
            try:
                return await call()
            except ControlRefusedError as error:
                if error.status < 500:
                    raise
            except NETWORK_ERRORS:
                pass
            await asyncio.sleep(INSIST_PAUSE_SECONDS)
