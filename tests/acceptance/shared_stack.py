"""One stack and one local Telegram for a whole folder of tests, or for a file with settings of its own. Each test has
people of its own, and sees only what was said since it began; what it counts, it counts of its own people. It may kill
what it likes: the next test finds all processes at work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import redis

from ballast.queueing.queues import WORKERS
from devstack.postgres import ROLE, EmbeddedPostgres
from devstack.providers import LocalProviders
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from devstack.telegram.process import TelegramProcess
from tests.harness.bots_database import clone, run_as_admin
from tests.harness.servers import AUTHORITY, running_telegram
from tests.texts import pseudo

DATABASE = "shared_stack"
TREASURER_ID = 3_001
OPS_TOKEN = "a token for tests"
PROGRAMS = ("frontend", "main", "light")
REDIS_INDEX = 0  # the tests with a logical database of their own have 1 to 15


class Since(TelegramControl):
    """What was said before, to the admin above all, is not seen."""

    began = 0

    async def messages(self, chat_id: int | None = None, *, after: int = 0, **how: Any) -> list[SeenMessage]:
        return await super().messages(chat_id, after=max(after, self.began), **how)


Scope = Literal["package", "module"]


def _telegram_server(scope: Scope) -> Any:
    @pytest.fixture(scope=scope, name="telegram_server")
    def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
        with running_telegram(tmp_path_factory.mktemp("telegram"), admin_ids=(ADMIN_ID,)) as server:
            yield server

    return fixture


@pytest_asyncio.fixture
async def telegram(telegram_server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with Since(telegram_server.url) as control:
        control.began = await control.last_revision()
        yield control
        await control.clear_faults()
        for user in await control.users():
            if user.username is not None and user.id != ADMIN_ID:
                await control.change_user(user.id, username=None)


def _shared_stack(scope: Scope, options: Callable[[pytest.TempPathFactory], Mapping[str, str]]) -> Any:
    @pytest.fixture(scope=scope, name="shared_stack")
    def fixture(
        tmp_path_factory: pytest.TempPathFactory,
        postgres_server: EmbeddedPostgres,
        template_database: str,
        redis_server: EmbeddedRedis,
        telegram_server: TelegramProcess,
    ) -> Iterator[Stack]:
        """None of its processes is started yet."""
        run_as_admin(postgres_server, "postgres", f"{clone(DATABASE, template_database)} OWNER {ROLE}")
        with redis.Redis.from_url(redis_server.url_of(REDIS_INDEX)) as client:
            client.flushdb()
        stack = Stack(
            tmp_path_factory.mktemp("stack"),
            database_url=postgres_server.url_of(DATABASE),
            redis_url=redis_server.url_of(REDIS_INDEX),
            telegram_url=telegram_server.url,
            SSL_CERT_FILE=AUTHORITY,
            **options(tmp_path_factory),
        )
        yield stack
        stack.stop_all()
        run_as_admin(postgres_server, "postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")

    return fixture


def _options_of_folder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    texts = tmp_path_factory.mktemp("texts")
    pseudo.write(texts)
    return {
        "TEXTS_FOLDER": str(texts),
        "OPS_TOKEN": OPS_TOKEN,
        "ADMIN_ROLES": f"{TREASURER_ID}:treasurer",
        "ROLE_LIMITS": "treasurer:1000000:none",
        "STARS_REFUND_HOURS": "24",
        "STARS_SUBSCRIPTIONS": "premium:250:Premium; pro:900:Pro & more",
        "STARS_SUPPORT": "Write to @support_of_ours",
        "STARS_TERMS": "https://example.org/terms",
    }


telegram_server = _telegram_server("package")
shared_stack = _shared_stack("package", _options_of_folder)


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Frontend and both workers, ready, and nothing else."""
    at_work(shared_stack, *PROGRAMS)
    return shared_stack


def at_work(stack: Stack, *programs: str) -> None:
    """Those that are not are started, others are stopped."""
    for name in stack.names() - set(programs):
        stack.stop(name)
    stack.start(*(name for name in programs if not stack.alive(name)))
    stack.wait_ready(processes=sum(WORKERS[name][1] for name in programs if name in WORKERS))


def stack_of_file(options: Callable[[], Mapping[str, str]]) -> tuple[Any, Any, Any, Any]:
    """The fixtures of a file whose tests share a stack with these settings:

    telegram_server, telegram, shared_stack, stack = stack_of_file(lambda: {"CURRENCIES": "EUR:2"})
    """

    return _telegram_server("module"), telegram, _shared_stack("module", lambda _: options()), stack


def stand_in_of_file() -> Any:
    """The fixture of a file's stand-in for its payment providers, which is where the shared stack's settings say:

    stand_in = stand_in_of_file()
    """
    numbers = count(1)  # of what they made in all tests: they make nothing of the same number again

    @pytest_asyncio.fixture(name="stand_in")
    async def fixture(stack: Stack) -> AsyncIterator[LocalProviders]:
        port = urlsplit(stack.env["CRYPTO_PAY_URL"]).port or 0
        async with LocalProviders(port=port, numbers=numbers) as providers:
            yield providers

    return fixture
