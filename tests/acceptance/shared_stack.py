"""One stack and one local Telegram for a whole folder of tests, or for a file with settings of its own. Each test has
people of its own, and sees only what was said since it began; what it counts, it counts of its own people. It may kill
what it likes: the next test finds all processes at work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis

from ballast.queueing.queues import WORKERS
from devstack.postgres import ROLE, EmbeddedPostgres
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


@pytest.fixture(scope="package")
def telegram_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    folder = tmp_path_factory.mktemp("telegram")
    with running_telegram(folder, admin_ids=(ADMIN_ID,)) as server:
        yield server


@pytest_asyncio.fixture
async def telegram(telegram_server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with Since(telegram_server.url) as control:
        control.began = await control.last_revision()
        yield control
        await control.clear_faults()
        for user in await control.users():
            if user.username is not None and user.id != ADMIN_ID:
                await control.change_user(user.id, username=None)


@pytest.fixture(scope="package")
def shared_stack(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
    template_database: str,
    redis_server: EmbeddedRedis,
    telegram_server: TelegramProcess,
) -> Iterator[Stack]:
    texts = tmp_path_factory.mktemp("texts")
    pseudo.write(texts)
    options = {
        "TEXTS_FOLDER": str(texts),
        "OPS_TOKEN": OPS_TOKEN,
        "ADMIN_ROLES": f"{TREASURER_ID}:treasurer",
        "ROLE_LIMITS": "treasurer:1000000:none",
        "STARS_REFUND_HOURS": "24",
        "STARS_SUBSCRIPTIONS": "premium:250:Premium; pro:900:Pro & more",
        "STARS_SUPPORT": "Write to @support_of_ours",
        "STARS_TERMS": "https://example.org/terms",
    }
    folder = tmp_path_factory.mktemp("stack")
    with _on_servers(
        folder, postgres_server, template_database, redis_server, telegram_server, options
    ) as it:
        yield it


@contextmanager
def _on_servers(
    folder: Path,
    postgres: EmbeddedPostgres,
    template: str,
    store: EmbeddedRedis,
    telegram: TelegramProcess,
    options: Mapping[str, str],
) -> Iterator[Stack]:
    """None of its processes is started yet."""
    run_as_admin(postgres, "postgres", f"{clone(DATABASE, template)} OWNER {ROLE}")
    with redis.Redis.from_url(store.url_of(REDIS_INDEX)) as client:
        client.flushdb()
    stack = Stack(
        folder,
        database_url=postgres.url_of(DATABASE),
        redis_url=store.url_of(REDIS_INDEX),
        telegram_url=telegram.url,
        SSL_CERT_FILE=AUTHORITY,
        **options,
    )
    yield stack
    stack.stop_all()
    run_as_admin(postgres, "postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")


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

    @pytest.fixture(scope="module", name="telegram_server")
    def _telegram_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
        with running_telegram(tmp_path_factory.mktemp("telegram"), admin_ids=(ADMIN_ID,)) as server:
            yield server

    @pytest.fixture(scope="module", name="shared_stack")
    def _shared_stack(
        tmp_path_factory: pytest.TempPathFactory,
        postgres_server: EmbeddedPostgres,
        template_database: str,
        redis_server: EmbeddedRedis,
        telegram_server: TelegramProcess,
    ) -> Iterator[Stack]:
        folder = tmp_path_factory.mktemp("stack")
        with _on_servers(
            folder, postgres_server, template_database, redis_server, telegram_server, options()
        ) as it:
            yield it

    return _telegram_server, telegram, _shared_stack, stack
