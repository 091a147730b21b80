"""Real servers for the tests: one PostgreSQL and one Redis a session, a database and a logical Redis of
its own a test.

They hang on a leash: also after kill -9 of the test run none is left.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg2
import pytest
import redis

from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.postgres import ROLE, EmbeddedPostgres
from devstack.redis import EmbeddedRedis

# Shared machines are slow at times; what hypothesis finds matters, not how fast it looks.
hypothesis.settings.register_profile(
    "ballast", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ballast")

TEMPLATE = "ballast_template"
_numbers = itertools.count(1)

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the session's servers keep their data. pytest's own temporary folders are closed to other
    users, and PostgreSQL under root is one.
    """
    folder = Path(tempfile.mkdtemp(prefix="ballast-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """Without fsync: no test here cuts the power, and the ones that kill PostgreSQL's processes lose
    nothing by it.
    """
    server = EmbeddedPostgres(servers_folder / "postgres", free_port(), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(servers_folder / "redis", free_port())
    server.start()
    yield server
    server.stop()


def _run(server: EmbeddedPostgres, statement: str) -> None:
    connection = psycopg2.connect(server.admin_url_of("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedPostgres) -> str:
    """The name of a migrated, empty database, to be cloned."""
    from dbcore.migrate import upgrade  # not at the top: tests without a database need none of it

    _run(postgres_server, f"CREATE DATABASE {TEMPLATE} OWNER {ROLE}")
    upgrade(postgres_server.url_of(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """A migrated database of the test's own; dropped after it, whoever is still connected."""
    name = f"test_{next(_numbers)}"
    _run(postgres_server, f"CREATE DATABASE {name} TEMPLATE {template_database} OWNER {ROLE}")
    yield postgres_server.url_of(name)
    _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> Iterator[str]:
    """An empty logical database. They take turns, so that a straggler of the last test does not write into
    this one's.
    """
    index = 1 + next(_numbers) % 15
    url = redis_server.url_of(index)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """Settings of the given options and defaults: no env file, and nothing from the environment of who
    runs the tests.
    """
    for option in Settings.model_fields:
        monkeypatch.delenv(option.upper(), raising=False)

    def make(**overrides: object) -> Settings:
        return Settings(_env_file=None, **overrides)  # type: ignore[arg-type]  # pydantic checks the overrides

    return make
