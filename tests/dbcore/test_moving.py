"""A database that was moved: who held it, what it refuses, and how a process follows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from dbcore.guard import pool
from dbcore.guard.engine import GuardedEngine
from dbcore.moving import hold, whereabouts
from dbcore.moving.errors import HoldLost
from dbcore.moving.notice import Notice
from dbcore.moving.sealing import Unreadable, seal, unseal
from devstack.postgres import EmbeddedPostgres, query
from tests.conftest import MakeSettings
from tests.harness.bots_database import run_as_admin

INSERT = "INSERT INTO ballast.effects (key, name, result) VALUES (%s, 'test', '1') RETURNING key"


@pytest.fixture
def new_url(postgres_server: EmbeddedPostgres, database_url: str) -> Iterator[str]:
    """A copy of the test's database."""
    name = f"{make_url(database_url).database}_copy"
    run_as_admin(postgres_server, "postgres", f"CREATE DATABASE {name} TEMPLATE {make_url(database_url).database} "
                 f"OWNER {make_url(database_url).username}")  # fmt: skip
    yield postgres_server.url_of(name)
    run_as_admin(postgres_server, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def tables(url: str) -> list[str]:
    with pool.single(url, application_name=hold.NAME).connect() as connection:
        found = hold.tables_of(connection, ())
    assert all(found.values())
    return list(found)


def close(old: str, new: str, *secrets: str) -> None:
    with hold.held(old, tables(old), None) as held:
        notice = Notice("move-1", whereabouts.place_of(new), seal(new, secrets or ["nobody knows"]))
        held.hand_over(notice, None, whole=True)


def keys(url: str) -> list[str]:
    return [key for (key,) in query(url, "SELECT key FROM effects")]


def test_a_sealed_address_is_read_by_any_of_its_secrets_and_by_no_other() -> None:
    address = "postgresql://bot:geheim@new.example/bot" * 3
    sealed = seal(address, ["one", "other"])
    assert "geheim" not in sealed
    assert unseal(sealed, ["wrong", "other"]) == address
    assert seal(address, ["one"]) != seal(address, ["one"])
    with pytest.raises(Unreadable):
        unseal(sealed, ["wrong"])
    with pytest.raises(Unreadable):
        unseal(sealed.replace("A", "B").replace("a", "b"), ["one", "other"])
    for nonsense in (
        "",
        "[]",
        "{}",
        "[1]",
        '[{"salt": "zz", "token": "a"}]',
        '[{"salt": "00", "token": "é"}]',
    ):
        with pytest.raises(Unreadable):
            unseal(nonsense, ["one"])


def test_an_engine_with_open_connections_goes_on_at_the_new_server(
    database_url: str, new_url: str, make_settings: MakeSettings
) -> None:
    engine = GuardedEngine(make_settings(database_url=database_url))
    assert engine.fetch_row(INSERT, ("before",), name="test") == ("before",)
    password = make_url(database_url).password
    close(database_url, new_url, str(password))
    assert engine.fetch_row(INSERT, ("after",), name="test") == ("after",)
    assert engine.breaker.snapshot().failures == 0
    engine.dispose()

    # And a command that starts now, by the notice alone.
    whereabouts._moved.clear()
    with pool.single(database_url, application_name="test").connect():
        pass
    assert whereabouts.place_of(whereabouts.current(database_url)) == whereabouts.place_of(new_url)
    assert (keys(database_url), keys(new_url)) == (["before"], ["after"])


def test_who_cannot_open_the_new_address_is_told_where_it_is_and_reads_nothing(
    database_url: str, new_url: str, make_settings: MakeSettings
) -> None:
    close(database_url, new_url)
    engine = GuardedEngine(make_settings(database_url=database_url))
    with pytest.raises(Unavailable) as raised:
        engine.fetch_row("SELECT 1", name="test", writes=False)
    assert raised.value.kind is FailureKind.CONFIGURATION
    with pytest.raises(OperationalError, match=f"moved to {whereabouts.place_of(new_url)}"):
        pool.single(database_url, application_name="test").connect()
    engine.dispose()


def test_nobody_can_write_to_it_whatever_the_session_says(database_url: str, new_url: str) -> None:
    close(database_url, new_url)
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        for statement in (
            "INSERT INTO bound_bot (bot_id) VALUES (1)",
            "TRUNCATE effects",
            "DELETE FROM users",
        ):
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
            connection.commit()
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="this database was moved to"):
                cursor.execute(statement)
            connection.rollback()


def test_a_hold_ends_with_its_connection_and_nothing_is_handed_over(database_url: str, new_url: str) -> None:
    with hold.held(database_url, tables(database_url), None) as held:
        with psycopg2.connect(database_url) as other, other.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("INSERT INTO bound_bot (bot_id) VALUES (1)")
        query(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = %s AND state LIKE 'idle in%%'",
            hold.NAME,
        )
        query(database_url, "INSERT INTO bound_bot (bot_id) VALUES (1)")
        with pytest.raises(HoldLost):
            held.hand_over(Notice("move-1", "new", "sealed"), None, whole=True)
    assert hold.notice_in(database_url, None) is None


def test_a_transaction_that_is_left_open_cannot_hold_up_a_move(
    database_url: str, new_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "GRACE_SECONDS", 0.1)
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bound_bot (bot_id) VALUES (1)")
        close(database_url, new_url)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    assert query(database_url, "SELECT * FROM bound_bot") == []
