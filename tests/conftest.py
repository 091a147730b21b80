"""Real servers for the tests: one PostgreSQL and one Redis a session, a database and a logical Redis of
its own a test.

They die with their parent: also after kill -9 of the test run none is left.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from ballast.cli.language import of_environment
from ballast.process.garbage import put_off_collection, spare_what_stays
from ballast.texts import ENGLISH
from dbcore.settings import Settings
from devstack import temporary
from devstack.ports import free_port
from devstack.postgres import ROLE, EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from tests.harness import clusters, distribution, starter, wheels
from tests.harness.bots_database import SCHEMA, THE_BOTS_OWN, Admin, clone, run_as_admin

# Shared machines are slow at times; what hypothesis finds matters, not how fast it looks.
hypothesis.settings.register_profile(
    "ballast", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ballast")

BOTS_TEMPLATE = "bots_template"
_numbers = itertools.count(1)

MakeSettings = Callable[..., Settings]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-starts", action="store_true", help="fork no programs: start each as a user would"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Temporary folders, pytest's own too, are in memory where there is room: clusters and environments are thousands
    of files. Not where TMPDIR says another place, nor where programs could not be run that tests install.

    The command line speaks English, unless a test says otherwise.
    """
    if of_environment() != ENGLISH:
        os.environ["LC_ALL"] = "C.UTF-8"
    memory = temporary.memory()
    if memory and "TMPDIR" not in os.environ and not os.statvfs(memory).f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(memory)
        tempfile.tempdir = None  # asked for again
    if not config.getoption("real_starts"):
        subprocess.Popen = starter.Popen  # type: ignore[misc]  # also for subprocess.run and asyncio
    put_off_collection()


def pytest_unconfigure() -> None:
    subprocess.Popen = starter.Real  # type: ignore[misc]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> distribution.Scheduler | None:
    """Ours instead of xdist's by files, which is its nearest."""
    return distribution.Scheduler(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = distribution.in_order(items)


def pytest_collection_finish() -> None:
    """What each process has collected stays to the end: the collector need not look at it."""
    spare_what_stays()


@pytest.fixture
def real_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test starts begins as a user's does: Python itself, and all imports."""
    monkeypatch.setattr(subprocess, "Popen", starter.Real)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where the session's servers keep their data."""
    with temporary.servers_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All processes of a parallel run have it."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _clusters(run_folder: Path) -> None:
    clusters.share_in(run_folder)


@pytest.fixture(scope="session")
def wheel(run_folder: Path) -> Path:
    return wheels.build(run_folder)


@pytest.fixture(scope="session")
def installed(wheel: Path, run_folder: Path) -> wheels.Installed:
    """An environment with the wheel in it, the same for all processes of a parallel run."""
    return wheels.install(wheel, run_folder)


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """Without fsync: no test here cuts the power, and the ones that kill PostgreSQL's processes lose
    nothing by it.
    """
    server = clusters.cluster(servers_folder / "postgres", free_port(), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(servers_folder / "redis", free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedPostgres) -> str:
    """The name of a migrated, empty database, to be cloned."""
    return clusters.TEMPLATE


@pytest.fixture(scope="session")
def _admin(postgres_server: EmbeddedPostgres) -> Iterator[Admin]:
    admin = Admin(postgres_server)
    yield admin
    admin.close()


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres, template_database: str, _admin: Admin) -> Iterator[str]:
    """A migrated database of the test's own; dropped after it, whoever is still connected."""
    name = f"test_{next(_numbers)}"
    _admin.run(f"{clone(name, template_database)} OWNER {ROLE}")
    yield postgres_server.url_of(name)
    _admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres, _admin: Admin) -> Iterator[str]:
    """A database that was never migrated."""
    name = f"test_{next(_numbers)}"
    _admin.run(f"CREATE DATABASE {name} OWNER {ROLE}")
    yield postgres_server.url_of(name)
    _admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def bots_template(postgres_server: EmbeddedPostgres) -> str:
    """An existing bot's database with Ballast beside it, to be cloned."""
    from dbcore.migrate import upgrade

    run_as_admin(postgres_server, "postgres", f"CREATE DATABASE {BOTS_TEMPLATE} OWNER {ROLE}")
    run_as_admin(postgres_server, BOTS_TEMPLATE, f"SET ROLE {ROLE}; {THE_BOTS_OWN}")
    upgrade(postgres_server.url_of(BOTS_TEMPLATE), schema=SCHEMA)
    return BOTS_TEMPLATE


@pytest.fixture
def bots_database_url(postgres_server: EmbeddedPostgres, bots_template: str, _admin: Admin) -> Iterator[str]:
    """An existing bot's database, with Ballast in SCHEMA. Nothing is found by `search_path`."""
    name = f"bots_{next(_numbers)}"
    _admin.run(f"{clone(name, bots_template)} OWNER {ROLE}")
    _admin.run(f"ALTER DATABASE {name} SET search_path TO ''")
    yield postgres_server.url_of(name)
    _admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """One that the test may stop, kill and start again."""
    server = EmbeddedRedis(tmp_path / "redis", free_port())
    server.start()
    yield server
    server.stop()


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
