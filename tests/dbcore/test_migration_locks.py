"""What migrations lock, and that nobody waits long for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, event, text

from dbcore import migration_locks
from dbcore.migrate import newest_revision, oldest_revision, upgrade
from dbcore.migration_files import FOLDER, text_of
from dbcore.migration_locks import MODES, TableLock, locks_of
from tests.dbcore.conftest import Sql, eventually, statements_on
from tests.dbcore.test_upgrade import OldRelease, going_on

HELD = (
    "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation "
    "WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relname = ANY(:tables)"
)
WAITS = (
    "SELECT a.application_name, l.virtualtransaction, "
    "'ballast migrate' IN "
    "(SELECT b.application_name FROM pg_stat_activity b WHERE b.pid = ANY(pg_blocking_pids(l.pid))) "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()"
)

SMALL = {"system_accounts"}
"""A row for each name and currency, however large the bot."""


def test_the_locks_that_are_read_from_its_sql_are_those_that_a_migration_takes(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_locks, "take_first", lambda *_: None)
    taken: list[dict[str, str]] = []
    before: set[str] = set()

    def look(connection: Connection) -> None:
        locks: dict[str, str] = {}
        for table, mode in connection.execute(text(HELD), {"tables": [*before]}):
            words = " ".join(word for word in MODES if word.replace(" ", "") + "Lock" == _upper(mode))
            if words:
                locks[table] = max(words, locks.get(table, MODES[0]), key=MODES.index)
        taken.append(locks)
        rows = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        before.update(name for (name,) in rows if name != "alembic_version")

    event.listen(Engine, "commit", look)
    try:
        upgrade(empty_database_url)
    finally:
        event.remove(Engine, "commit", look)

    revisions = sorted(folder.name for folder in FOLDER.iterdir())
    expected = [{lock.table: lock.mode for lock in locks_of(text_of(revision))} for revision in revisions]
    assert dict(zip(revisions, taken, strict=False)) == dict(zip(revisions, expected, strict=True))


def _upper(mode: str) -> str:
    return mode.removesuffix("Lock").upper() + "Lock"


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        ("ALTER TABLE shop.goods ADD COLUMN price bigint NOT NULL DEFAULT 0", "ACCESS EXCLUSIVE"),
        ("ALTER TABLE goods ALTER COLUMN price TYPE numeric", "ACCESS EXCLUSIVE, writes the table anew"),
        ("ALTER TABLE goods ADD id bigint GENERATED ALWAYS AS IDENTITY", "ACCESS EXCLUSIVE, writes the table anew"),
        ("ALTER TABLE goods ALTER price SET NOT NULL", "ACCESS EXCLUSIVE, reads the whole table"),
        ("ALTER TABLE goods ADD CONSTRAINT cheap CHECK (price < 9)", "ACCESS EXCLUSIVE, reads the whole table"),
        ("ALTER TABLE goods ADD CONSTRAINT cheap CHECK (price < 9) NOT VALID", "ACCESS EXCLUSIVE"),
        ("ALTER TABLE goods VALIDATE CONSTRAINT cheap", "SHARE UPDATE EXCLUSIVE, reads the whole table"),
        ("ALTER TABLE goods ADD CONSTRAINT one UNIQUE (name)", "ACCESS EXCLUSIVE, builds an index"),
        ("ALTER TABLE goods ADD CONSTRAINT one UNIQUE USING INDEX goods_name", "ACCESS EXCLUSIVE"),
        ('CREATE INDEX goods_name ON "shop"."goods" (name)', "SHARE, builds an index"),
        ("create unique index concurrently goods_name on goods (name)", "SHARE UPDATE EXCLUSIVE, builds an index"),
        ("CREATE TABLE a (b int REFERENCES goods (id)); CREATE INDEX c ON a (b)", "SHARE ROW EXCLUSIVE"),
        ("-- ALTER TABLE goods\nCREATE FUNCTION f() AS $$ ALTER TABLE goods; $$; SELECT 'DROP TABLE goods;'", ""),
        ("UPDATE goods SET price = 1", ""),
        ("DROP TABLE IF EXISTS goods", "ACCESS EXCLUSIVE"),
        (
            "ALTER TABLE goods DISABLE TRIGGER all; CREATE INDEX i ON goods (a); TRUNCATE goods",
            "ACCESS EXCLUSIVE, builds an index",
        ),
    ],
)  # fmt: skip
def test_what_a_statement_locks(sql: str, locks: str) -> None:
    found = [
        ", ".join(filter(None, (lock.mode, lock.long))) for lock in locks_of(sql) if lock.table == "goods"
    ]
    assert found == ([locks] if locks else [])
    assert {lock.table for lock in locks_of(sql)} <= {"goods"}


@pytest.mark.parametrize("revision", sorted(folder.name for folder in FOLDER.iterdir()))
def test_no_migration_locks_writers_out_for_longer_the_larger_a_table_is(revision: str) -> None:
    found = [lock for lock in locks_of(text_of(revision)) if lock.table not in SMALL and lock.stops_bot]
    assert found == []


def test_only_a_lock_that_is_held_for_long_stops_the_bot() -> None:
    assert TableLock("a", "SHARE", "builds an index").stops_bot
    assert not TableLock("a", "ACCESS EXCLUSIVE").stops_bot
    assert not TableLock("a", "SHARE UPDATE EXCLUSIVE", "builds an index").stops_bot


@contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """What it locked stays locked while the block runs."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            yield
    finally:
        connection.close()


class Waits:
    """How often somebody was seen waiting, in looks at the server's table of locks."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks = 0
        self.looks_with_waiting_writers = 0
        self.tries: set[str] = set()
        """Of the migration: transactions in which it waited."""

    def __enter__(self) -> Waits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            rows = self._sql(WAITS)
            self.looks += 1
            self.tries |= {transaction for name, transaction, _ in rows if name == "ballast migrate"}
            self.looks_with_waiting_writers += any(by_migration for _, _, by_migration in rows)


def test_all_migrations_beside_writers_and_long_readers_hold_writers_up_for_moments(
    empty_database_url: str,
) -> None:
    upgrade(empty_database_url, to=oldest_revision())
    writer = OldRelease(empty_database_url)
    with (
        statements_on(empty_database_url) as sql,
        going_on(writer.work) as failures,
        ThreadPoolExecutor(1) as threads,
        Waits(sql) as waits,
    ):
        # As a report that somebody runs, or a backup's dump.
        with holding(empty_database_url, "SELECT FROM users, transfers, entries"):
            migrating = threads.submit(upgrade, empty_database_url)
            eventually(lambda: len(waits.tries) >= 3)
            done_meanwhile = writer.rounds
            looks, held_up = waits.looks, waits.looks_with_waiting_writers
        migrating.result()
        assert writer.rounds > done_meanwhile
    assert failures == []
    assert done_meanwhile >= 3
    # It waits for 200 ms, and pauses for twice as long or longer.
    assert held_up <= looks / 2, (held_up, looks)
    writer.close()


def test_a_migration_that_waits_for_a_vacuum_holds_nobody_up(empty_database_url: str) -> None:
    upgrade(empty_database_url, to="0015")
    old = OldRelease(empty_database_url)
    with ThreadPoolExecutor(1) as threads, statements_on(empty_database_url) as sql:
        with holding(empty_database_url, "LOCK users IN SHARE UPDATE EXCLUSIVE MODE"), Waits(sql) as waits:
            migrating = threads.submit(upgrade, empty_database_url)
            eventually(lambda: waits.tries)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                old.work()
            assert waits.looks_with_waiting_writers == 0
        migrating.result()
    old.close()


def test_an_owner_who_may_not_lock_a_table_by_hand_migrates_it_all_the_same(empty_database_url: str) -> None:
    """Before PostgreSQL 17 nobody has the right MAINTAIN, and of an append-only table the owner has no other."""
    upgrade(empty_database_url, to="0006")
    with statements_on(empty_database_url) as sql:
        sql("REVOKE MAINTAIN ON admin_actions, entries FROM CURRENT_USER")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            sql("DO $$ BEGIN LOCK admin_actions IN SHARE ROW EXCLUSIVE MODE; END $$")
        upgrade(empty_database_url)
        assert sql("SELECT version_num FROM alembic_version") == [(newest_revision(),)]
