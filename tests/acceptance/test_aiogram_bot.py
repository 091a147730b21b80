"""examples/aiogram_bot as its reader has it: copied out, with Ballast's wheel in an environment of its own.

Each message takes effect once and gets an honest answer, whatever happens to the database and to the bot.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.programs import Program
from devstack.proxy import Cut, FaultProxy, On, Placed, Rule, Side, Silence, frozen_server
from devstack.stack import TOKEN, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import say
from tests.harness.servers import running_postgres
from tests.harness.wheels import Installed, copy_example

COMMIT = "INSERT INTO effects"
"""In the message that carries COMMIT."""

BOUGHT = re.compile(r"You bought the lamp\. You have (\d+) coins left\.")
NOT_BOUGHT = "Nothing was bought: we have a technical problem. Please try again in a minute."


@pytest.fixture(scope="module")
def postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """One that the tests may stop, migrated."""
    with running_postgres(servers_folder) as server:
        yield server


@pytest.fixture(scope="module")
def project(
    installed: Installed, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The example copied out, with its tables made."""
    folder = tmp_path_factory.mktemp("project")
    copy_example("aiogram_bot", installed, folder)
    done = installed.run(
        *(installed.python, "-m", "aiogram_bot", "create-tables"),
        cwd=folder,
        DATABASE_URL=postgres.url,
        TELEGRAM_BOT_TOKEN=TOKEN,
    )
    assert done.returncode == 0, done.stderr
    return folder


class Bot:
    """The bot's process, its database, and the proxy between them."""

    def __init__(
        self,
        stack: Stack,
        installed: Installed,
        project: Path,
        postgres: EmbeddedPostgres,
        proxy: FaultProxy,
    ) -> None:
        self._stack = stack
        self._python = installed.python
        self._postgres = postgres
        self.proxy = proxy
        stack.database_url = postgres.url
        stack.env["DATABASE_URL"] = proxy.url_of(DATABASE)
        for name in ("PYTHONPATH", "REDIS_URL"):
            del stack.env[name]
        stack.current_folder = project

    def start(self) -> None:
        argv = [self._python, "-m", "aiogram_bot"]
        self._stack.run("bot", Program("bot", argv, stop_seconds=20))

    def kill(self) -> None:
        self._stack.kill("bot")

    def stop(self) -> int:
        return self._stack.stop("bot")

    @property
    def log(self) -> str:
        return self._stack.log("bot")

    def bought(self, customer: int) -> tuple[int, int]:
        """Things and coins, as the database has them."""
        (found,) = self._stack.query(
            "SELECT count(p.id), coalesce(min(c.coins), 100) FROM (SELECT) AS one LEFT JOIN shop_customers c "
            "ON c.telegram_id = %s LEFT JOIN shop_purchases p ON p.telegram_id = c.telegram_id",
            customer,
        )
        return found

    def as_superuser(self, *statements: str) -> None:
        connection = psycopg2.connect(self._postgres.admin_url_of(DATABASE))
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()


@pytest.fixture
def bot(
    make_stack: MakeStack, installed: Installed, project: Path, postgres: EmbeddedPostgres
) -> Iterator[Bot]:
    """Not started yet; its tables are there."""
    with FaultProxy("127.0.0.1", postgres.port, login=postgres.login) as proxy:
        yield Bot(make_stack(DB_DEADLINE_SECONDS="1.5"), installed, project, postgres, proxy)


async def struck(placed: Placed, bot: Bot) -> None:
    for _ in range(1_500):
        if placed.struck:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"the rule was not met:\n{bot.log}")


async def buys(telegram: TelegramControl, customer: int) -> None:
    """Until it is possible again: the breaker may still be open."""
    async with asyncio.timeout(90):
        while not BOUGHT.fullmatch(text := (await say(telegram, customer, "/buy lamp")).text):
            assert text == NOT_BOUGHT
            await asyncio.sleep(0.3)


async def test_it_sells_once_and_says_so_whatever_the_database_does(
    bot: Bot, telegram: TelegramControl, postgres: EmbeddedPostgres
) -> None:
    bot.start()
    alice = (await telegram.create_user("Alice", user_id=7_000_001)).id

    async def says(text: str) -> str:
        return (await say(telegram, alice, text)).text

    assert await says("/bag") == "You have 100 coins and an empty bag."
    assert await says("/buy lamp") == "You bought the lamp. You have 90 coins left."

    # The connection ends right after COMMIT.
    bot.proxy.add(Rule(On(Side.SERVER, kind="C", statement=COMMIT), Cut()))
    sent = await telegram.send_text(alice, "/buy lamp")
    answer = await telegram.wait_for_message(alice, after=sent.message.revision)
    assert answer.text == "You bought the lamp. You have 80 coins left."
    assert bot.bought(alice) == (2, 80)

    # Telegram hands the update out again.
    assert sent.update_id is not None
    await telegram.redeliver(sent.update_id)
    again = await telegram.wait_for_message(alice, after=answer.revision)
    assert (again.text, bot.bought(alice)) == (answer.text, (2, 80))
    assert await says("/bag") == "You have 80 coins and lamp, lamp."

    # Frozen.
    assert postgres.pid is not None
    with frozen_server(postgres.pid):
        assert await says("/buy lamp") == NOT_BOUGHT
        assert re.fullmatch(
            r"At \d\d:\d\d UTC: You have 80 coins and lamp, lamp\. We cannot look right now\.",
            await says("/bag"),
        )
    await buys(telegram, alice)
    assert bot.bought(alice) == (3, 70)

    # Read-only: what is there can be seen.
    bot.as_superuser("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    assert await says("/buy lamp") == NOT_BOUGHT
    assert await says("/bag") == "You have 70 coins and lamp, lamp, lamp."
    bot.as_superuser("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    await buys(telegram, alice)
    assert bot.bought(alice) == (4, 60)

    # Stopped and started.
    postgres.kill()
    assert await says("/buy lamp") == NOT_BOUGHT
    postgres.start()
    await buys(telegram, alice)
    assert bot.bought(alice) == (5, 50)

    for left in (40, 30, 20, 10, 0):
        assert await says("/buy lamp") == f"You bought the lamp. You have {left} coins left."
    assert await says("/buy lamp") == "The lamp costs 10 coins, and you have 0. Nothing was bought."
    assert bot.stop() == 0, bot.log
    assert TOKEN not in bot.log and "Traceback" not in bot.log


async def test_it_sells_once_though_it_is_killed_in_the_middle(bot: Bot, telegram: TelegramControl) -> None:
    bot.start()
    boris = (await telegram.create_user("Boris", user_id=7_000_002)).id
    await say(telegram, boris, "/bag")
    for number, rule in enumerate(
        (
            Rule(On(statement=COMMIT), Silence()),
            Rule(On(Side.SERVER, kind="C", statement=COMMIT), Silence()),
        ),
        start=1,
    ):
        placed = bot.proxy.add(rule)
        sent = await telegram.send_text(boris, "/buy lamp")
        await struck(placed, bot)
        bot.kill()
        bot.proxy.sever()
        bot.start()
        answer = await telegram.wait_for_message(boris, after=sent.message.revision)
        assert answer.text == f"You bought the lamp. You have {100 - 10 * number} coins left."
        assert bot.bought(boris) == (number, 100 - 10 * number)

    # Asked to end in the middle of a COMMIT that is not answered, it does: the next one finds what became of it.
    placed = bot.proxy.add(Rule(On(Side.SERVER, kind="C", statement=COMMIT), Silence()))
    sent = await telegram.send_text(boris, "/buy lamp")
    await struck(placed, bot)
    assert bot.stop() == 0, bot.log
    bot.start()
    answer = await telegram.wait_for_message(boris, after=sent.message.revision)
    assert (answer.text, bot.bought(boris)) == ("You bought the lamp. You have 70 coins left.", (3, 70))
