"""Servers of a test's own, which it may stop, freeze and kill."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, TOKEN, Stack
from devstack.telegram.process import TelegramProcess
from tests.harness import clusters
from tests.harness.bots_database import run_as_admin

AUTHORITY = str(Path(__file__).parents[1] / "ballast/telegram/authority.pem")
"""For SSL_CERT_FILE of processes that speak TLS to nobody: reading the machine's authorities takes each a while."""


class Servers:
    """PostgreSQL, Redis and the local Telegram, with their data in one folder.

    durable -- PostgreSQL with fsync: killed, it has lost nothing.
    """

    def __init__(
        self, folder: Path, *, admin_ids: tuple[int, ...] = (ADMIN_ID,), durable: bool = True
    ) -> None:
        folder.chmod(0o711)  # PostgreSQL runs as another user where we are root
        self.folder = folder
        self.postgres = clusters.cluster(folder / "postgres", free_port(), durable=durable)
        self.redis = EmbeddedRedis(folder / "redis", free_port())
        self.telegram = TelegramProcess(folder / "telegram", free_port(), TOKEN, admin_ids=admin_ids)
        self._admin_ids = admin_ids

    def accept(self) -> bool:
        return self.postgres.accepts() and self.redis.accepts() and self.telegram.accepts()

    def stack(self, **options: str) -> Stack:
        """Ballast's processes, none of them started yet; their logs are in `work`. options -- settings."""
        work = self.folder / "work"
        work.mkdir()
        settings = {
            "database_url": self.postgres.url,
            "redis_url": self.redis.url,
            "telegram_url": self.telegram.url,
            "ADMIN_IDS": ",".join(map(str, self._admin_ids)),
            "SSL_CERT_FILE": AUTHORITY,
            **options,
        }
        return Stack(work, **settings)


@contextmanager
def running_servers(
    folder: Path | None = None,
    *,
    admin_ids: tuple[int, ...] = (ADMIN_ID,),
    durable: bool = True,
    telegram: bool = True,
) -> Iterator[Servers]:
    """All of them started, and the schema made. Without `folder` they have one while they run.

    telegram -- without it another server plays Telegram.
    """
    with contextlib.ExitStack() as closing:
        servers = Servers(
            folder or closing.enter_context(temporary_folder()), admin_ids=admin_ids, durable=durable
        )
        with_telegram = (servers.telegram,) if telegram else ()
        for server in (servers.postgres, servers.redis, *with_telegram):
            server.start()
            closing.callback(server.stop)
        clusters.migrate(servers.postgres)
        yield servers


@contextmanager
def running_postgres(
    folder: Path, *, durable: bool = True, migrated: bool = True, options: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """durable -- with fsync: killed, it has lost nothing. options -- PostgreSQL's own."""
    port = free_port()
    make = clusters.cluster if migrated else EmbeddedPostgres
    server = make(folder / f"postgres-{port}", port, durable=durable)
    server.start()
    if options:
        set_options(server, options)
    try:
        if migrated:
            clusters.migrate(server)
        yield server
    finally:
        server.stop()


def set_options(server: EmbeddedPostgres, options: Mapping[str, str]) -> None:
    """It is started anew."""
    run_as_admin(
        server, "postgres", *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in options.items())
    )
    server.stop()
    server.start()


@contextmanager
def running_telegram(folder: Path, *, admin_ids: tuple[int, ...] = ()) -> Iterator[TelegramProcess]:
    """The local Telegram alone."""
    server = TelegramProcess(folder, free_port(), TOKEN, admin_ids=admin_ids)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for servers. Not pytest's own: those are closed to other users, and PostgreSQL under root is one."""
    folder = Path(tempfile.mkdtemp(prefix="ballast-cluster-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
