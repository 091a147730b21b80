"""Engines on databases of the test's own, and people with money."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.audit import audit
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from tests.harness import clusters
from tests.harness.logins import as_admin

Sql = Callable[..., list[tuple[Any, ...]]]
Person = Callable[..., users.Profile]
MakeEngine = Callable[..., GuardedEngine]

_numbers = itertools.count(1)


@pytest.fixture
def make_engine(make_settings: Callable[..., Settings], database_url: str) -> Iterator[MakeEngine]:
    """Engines on the test's database; options of Settings and of GuardedEngine. Closed after the test."""
    made: list[GuardedEngine] = []

    def make(
        url: str = database_url, *, settings: dict[str, object] | None = None, **options: Any
    ) -> GuardedEngine:
        engine = GuardedEngine(make_settings(database_url=url, **(settings or {})), **options)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def engine(make_engine: MakeEngine) -> GuardedEngine:
    return make_engine(settings={"db_deadline_seconds": 30})


@pytest.fixture
def person(engine: GuardedEngine) -> Person:
    """Registers someone new, with an opening balance."""

    def register(balance: int = 0, username: str | None = None) -> users.Profile:
        number = next(_numbers)
        profile = users.Profile(1_000_000 + number, username, f"Person {number}")
        users.get_or_create(engine, profile=profile)
        if balance:
            ledger.adjust(
                engine,
                key=f"opening-{number}",
                target=users.UserRef(telegram_id=profile.telegram_id),
                amount=balance,
                memo="opening",
                actor="test",
            )
        return profile

    return register


@contextmanager
def statements_on(url: str) -> Iterator[Sql]:
    """Runs a statement there, past the engine; each is a transaction of its own."""
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()


@pytest.fixture
def sql(database_url: str, postgres_server: EmbeddedPostgres) -> Iterator[Sql]:
    """Runs a statement on the test's database as the superuser, past the engine."""
    with statements_on(as_admin(database_url, postgres_server.admin_url_of("postgres"))) as run:
        yield run


@pytest.fixture
def audited(database_url: str) -> Iterator[None]:
    """The ledger must be right when the test is over."""
    yield
    wrong = [finding for finding in audit(database_url) if not finding.ok]
    assert not wrong


@pytest.fixture(scope="session")
def victim_server(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = clusters.cluster(servers_folder / "victim", free_port(), durable=False)
    server.start()
    clusters.migrate(server)
    yield server
    server.stop()


@pytest.fixture
def victim(victim_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A PostgreSQL that the test may kill; running when the test begins."""
    if not victim_server.accepts():
        victim_server.kill()
        victim_server.start()
    return victim_server


def eventually(condition: Callable[[], Any], timeout_seconds: float = 30.0) -> Any:
    """The condition's first true value. Fails when there is none in time."""
    until = time.monotonic() + timeout_seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"did not come true within {timeout_seconds} s")
