"""What people are told while the database fails: the bot's own processes behind the proxy, and people who write to it
in a local Telegram. Once a kind, for from the engine on all failures of a kind are one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dbcore.breaker import override
from dbcore.failures import FailureKind as K
from dbcore.ledger.balance_cache import BalanceCache
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import FaultProxy
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.conformance.cases import EXPECTED, Effect, Place, Told, example
from tests.harness.servers import running_telegram

EARLY, ADMIN = 1001, 1002
"""Two admins: who writes before anybody knows that the database fails, and who writes then."""

ANSWER_SECONDS_MAX = 90.0

_WORDS = (
    ("We have a technical problem. Your ", Told.QUEUED),
    ("At ", Told.LAST_KNOWN),
    ("Sorry, something went wrong on our side. If you contact support, quote reference ", Told.FAILED),
    ("Credited 1.00 CREDIT to ", Told.RESULT),
    ("Your balance is 10.00 CREDIT", Told.RESULT),
    ("Your balance is 11.00 CREDIT", Told.RESULT),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was told, in order, to the admin who confirms a credit of 1.00, and to the user who has 10.00 and asks.

    credited -- what came of it in the end, in minor units.
    """

    write: tuple[Told, ...]
    read: tuple[Told, ...]
    credited: int


class Cluster:
    """Frontend, workers and beat on a database behind the proxy."""

    def __init__(self, proxy: FaultProxy, stack: Stack, telegram: TelegramControl) -> None:
        self._proxy = proxy
        self._stack = stack
        self._telegram = telegram
        self._other: int | None = None

    async def hear(self, kind: K | None) -> Heard:
        """The database fails in this way, people write, the bot says what it says then, and the database is mended."""
        shuts = EXPECTED[kind].breaker is not Effect.NEUTRAL
        await self._until(lambda: self._database() == "ok", "all is well")
        user = await self._someone()
        if self._other is None:
            self._other = await self._someone()
        other, before = self._other, self._balance(self._other)
        early, card = await self._asked(EARLY, other), await self._asked(ADMIN, user)
        self._fail(kind)
        if shuts:
            await self._telegram.press_button(EARLY, early, "Confirm")
            await self._until(lambda: self._database() == "unavailable", "the bot knows")
        await self._telegram.press_button(ADMIN, card, "Confirm")
        asked = {
            ADMIN: card.revision,
            user: (await self._telegram.send_text(user, "/balance")).message.revision,
        }
        told: dict[int, list[Told]] = {}
        for chat, revision in asked.items():
            first = await self._next(chat, revision)
            told[chat] = [_told(first)]
            asked[chat] = first.revision
        await self._mend(kind)
        for chat, revision in asked.items():
            if told[chat] == [Told.QUEUED]:
                told[chat].append(_told(await self._next(chat, revision)))
        if shuts:  # what met the failure before anybody knew of it is done too
            await self._until(lambda: self._balance(other) == before + 100, "the early one is done")
        return Heard(tuple(told[ADMIN]), tuple(told[user]), self._balance(user) - 1_000)

    def _fail(self, kind: K | None) -> None:
        case = example(kind)
        if case.place is Place.CONNECT:
            self._proxy.add(case.rule(None))
            self._proxy.sever()
            return
        statements = ["pending_adjust_decide"]
        if EXPECTED[kind].breaker is not Effect.NEUTRAL:
            statements.append("health_probe")  # which the breaker's own probe writes to, too
        if kind is not K.STORAGE:
            statements.append("users_account")
        if kind in {K.SLOW, K.UNKNOWN_OUTCOME}:
            statements.append("SELECT 1")
        for statement in statements:
            self._proxy.add(case.about(statement).rule(None))

    async def _mend(self, kind: K | None) -> None:
        self._proxy.clear()
        override.set_override(self._stack.redis, "auto", "test")
        if kind is K.CONFIGURATION:  # each process stays out for half a minute by itself
            for name in ("main", "light"):
                await asyncio.to_thread(self._stack.stop, name)
                self._stack.start(name)

    async def _someone(self) -> int:
        """A user with 10.00, who was told so."""
        user = (await self._telegram.create_user("Ann")).id
        for text in ("/start", "/balance"):
            asked = await self._telegram.send_text(user, text)
            await self._next(user, asked.message.revision)
        card = await self._asked(ADMIN, user, "10")
        await self._telegram.press_button(ADMIN, card, "Confirm")
        await self._next(ADMIN, card.revision)
        balances = BalanceCache(self._stack.redis)
        await self._until(
            lambda: (balances.last(user, "CREDIT") or (0, 0))[0] == 1_000, "the balance is known"
        )
        return user

    async def _asked(self, admin: int, user: int, amount: str = "1") -> SeenMessage:
        """The card of a /credit."""
        sent = await self._telegram.send_text(admin, f"/credit {user} {amount}")
        return await self._next(admin, sent.message.revision)

    async def _next(self, chat: int, after: int) -> SeenMessage:
        """The next answer there, new or in the place of another."""
        return await self._telegram.wait_for_message(
            chat,
            lambda message: not message.text.startswith(("Alarm", "You were credited")),
            after=after,
            timeout_seconds=ANSWER_SECONDS_MAX,
        )

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        await asyncio.to_thread(self._stack.wait_until, condition, what)

    def _database(self) -> str:
        state: str = self._stack.get("/health")[1]["database"]["state"]
        return state

    def _balance(self, telegram_id: int) -> int:
        query = "SELECT a.balance FROM accounts a JOIN users u ON u.id = a.user_id WHERE u.telegram_id = %s"
        return int(self._stack.query(query, telegram_id)[0][0])


def as_expected(kind: K | None, heard: Heard) -> bool:
    """Told what they should be, and credited once."""
    expected = EXPECTED[kind]
    credited = 0 if Told.FAILED in expected.write else 100
    return (heard.write, heard.read, heard.credited) == (expected.write, expected.read, credited)


def _told(message: SeenMessage) -> Told:
    for words, told in _WORDS:
        if message.text.startswith(words):
            return told
    raise AssertionError(f"nobody expected the bot to say {message.text!r}")


@asynccontextmanager
async def running_cluster(
    folder: Path, server: EmbeddedPostgres, database: str, redis_url: str
) -> AsyncIterator[Cluster]:
    """On a migrated database and an empty Redis."""
    with ExitStack() as closing:
        telegram = closing.enter_context(running_telegram(folder / "telegram", admin_ids=(EARLY, ADMIN)))
        proxy = closing.enter_context(FaultProxy("127.0.0.1", server.port, login=server.login))
        stack = Stack(
            folder,
            database_url=server.url_of(database),
            redis_url=redis_url,
            telegram_url=telegram.url,
            ADMIN_IDS=f"{EARLY},{ADMIN}",
            HEALTH_PROBE_SECONDS="1",
        )
        stack.env["DATABASE_URL"] = proxy.url_of(database)
        closing.callback(stack.stop_all)
        stack.start("frontend", "main", "light", "beat")
        await asyncio.to_thread(stack.wait_ready, processes=3)
        async with TelegramControl(telegram.url) as control:
            yield Cluster(proxy, stack, control)
