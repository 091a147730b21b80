"""The upgrade drill of docs/operations.md: a database of the first release becomes today's while it is used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2
import pytest

from dbcore import migration_locks
from dbcore.collisions import Refused
from dbcore.ledger import ledger
from dbcore.ledger.audit import audit
from dbcore.ledger.users import UserRef
from dbcore.migrate import newest_revision, oldest_revision, upgrade
from tests.dbcore.conftest import MakeEngine, eventually

PEOPLE = (1, 2)

# What the first release's processes ask of the database, as they ask it.
OLD_CALLS = {
    "users_touch": "SELECT * FROM users_touch({person}, 'user{person}', 'Person', 'CREDIT')",
    "users_find": "SELECT * FROM users_find({person}, NULL, 'CREDIT')",
    "ledger_adjust": "SELECT * FROM ledger_adjust('credit-{n}', 'f{n}', 1, NULL, 1000, 'CREDIT', 'memo', 'drill')",
    "ledger_transfer": "SELECT * FROM ledger_transfer('pay-{n}', 'f{n}', 1, 2, 10, 'CREDIT', 'transfer', 'memo')",
    "pending_create": (
        "SELECT * FROM pending_create("
        "'ask-{n}', 'f{n}', 'token-{n}', 1, 'user1', 'Person', 2, NULL, 10, 'CREDIT', 'memo', interval '1 day')"
    ),
    "pending_decide": "SELECT * FROM pending_decide('do-{n}', 'token-{n}', 1, 'user1', 'Person', true)",
    "history_page": "SELECT * FROM history_page({person}, 'user{person}', 'Person', 'CREDIT', NULL, 10)",
    "health_probe": "SELECT * FROM health_probe('drill', ARRAY['users'])",
}


class OldRelease:
    """A process of the first release: one connection that was open before the upgrade, and what it calls."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self.rounds = 0
        with self._connection.cursor() as cursor:
            for person in PEOPLE:
                cursor.execute(OLD_CALLS["users_touch"].format(person=person))

    def work(self) -> None:
        """One of each call; each must answer a row, and say of no write that it was refused."""
        self.rounds += 1
        with self._connection.cursor() as cursor:
            for name, call in OLD_CALLS.items():
                cursor.execute(call.format(n=self.rounds, person=PEOPLE[self.rounds % 2]))
                (row,) = cursor.fetchall()
                assert cursor.description is not None
                answer = dict(zip((column.name for column in cursor.description), row, strict=True))
                assert answer.get("r_reason") is None, (name, answer)

    def functions(self) -> set[str]:
        """Those of the database that are called by name."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
                " AND prorettype <> 'trigger'::regtype"
            )
            return {name for (name,) in cursor.fetchall()}

    def number(self, query: str) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            ((found,),) = cursor.fetchall()
            return int(found)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def going_on(work: Callable[[], None]) -> Iterator[list[Exception]]:
    """Work is done over and over while the block runs, and had begun before it. What it failed of, at most one."""
    failures: list[Exception] = []
    begun, over = threading.Event(), threading.Event()

    def run() -> None:
        while not over.is_set() and not failures:
            begun.set()
            try:
                work()
            except (psycopg2.Error, AssertionError) as error:
                failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield failures
    finally:
        over.set()
        thread.join()


@pytest.fixture
def old_database_url(empty_database_url: str) -> str:
    """As the first release left it, empty."""
    upgrade(empty_database_url, to=oldest_revision())
    return empty_database_url


def test_a_database_of_the_first_release_is_migrated_under_its_processes_and_passes_the_audit(
    old_database_url: str, make_engine: MakeEngine
) -> None:
    old = OldRelease(old_database_url)
    # ledger_post is what the other two are made of.
    assert set(OLD_CALLS) == old.functions() - {"ledger_post"}
    for _ in range(5):
        old.work()

    with going_on(old.work) as failures:
        upgrade(old_database_url)
    assert failures == []
    old.work()

    engine = make_engine(old_database_url)
    again = ledger.adjust(engine, key="today", target=UserRef(telegram_id=1), amount=1, memo="", actor="test")
    assert again.reason is None
    findings = audit(old_database_url)
    assert [finding for finding in findings if not finding.ok] == []
    assert sum(finding.counted for finding in findings) > 0
    # Of each round a credit, a transfer and a confirmed request.
    assert old.number("SELECT count(*) FROM transfers WHERE status = 'applied'") == 3 * old.rounds + 1
    old.close()


def test_money_moves_while_a_migration_waits_and_one_that_gave_up_is_gone_on_from(
    old_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0007 and 0009 lock the ledger's tables for a moment; 0010 is held up by somebody's row."""
    monkeypatch.setattr(migration_locks, "GIVE_UP_SECONDS", 3.0)
    upgrade(old_database_url, to="0006")
    old = OldRelease(old_database_url)
    holder = psycopg2.connect(old_database_url)
    with holder.cursor() as cursor:
        cursor.execute("INSERT INTO users (telegram_id, first_name) VALUES (777000, 'X')")
        holder.commit()
        cursor.execute("SELECT FROM users WHERE telegram_id = 777000 FOR UPDATE")

    with ThreadPoolExecutor(1) as threads:
        migrating = threads.submit(upgrade, old_database_url)
        eventually(lambda: old.number("SELECT (max(version_num) = '0009')::int FROM alembic_version"))
        for _ in range(5):
            old.work()
        with pytest.raises(Refused, match=f"process {holder.info.backend_pid} "):
            migrating.result()
    assert old.number("SELECT version_num::int FROM alembic_version") == 9

    holder.close()
    upgrade(old_database_url)
    assert old.number("SELECT version_num::int FROM alembic_version") == int(newest_revision())
    old.work()
    old.close()
    assert [finding for finding in audit(old_database_url) if not finding.ok] == []


def test_telegram_s_own_account_is_sent_nothing_more(old_database_url: str) -> None:
    old = psycopg2.connect(old_database_url)
    old.autocommit = True
    with old.cursor() as cursor:
        for telegram_id in (8, 777000):
            cursor.execute("INSERT INTO users (telegram_id, first_name) VALUES (%s, 'X')", (telegram_id,))
        upgrade(old_database_url)
        cursor.execute("SELECT telegram_id, status FROM users ORDER BY 1")
        assert cursor.fetchall() == [(8, "active"), (777000, "deactivated")]
    old.close()


def test_a_username_that_two_carry_is_left_to_whom_we_saw_last(old_database_url: str) -> None:
    old = psycopg2.connect(old_database_url)
    old.autocommit = True
    with old.cursor() as cursor:
        for telegram_id, name, days in (
            (1, "coin", 3),
            (2, "Coin", 1),
            (3, "COIN", 2),
            (4, "ann", 9),
            (5, None, 9),
        ):
            cursor.execute(
                "INSERT INTO users (telegram_id, username, first_name, last_seen_at)"
                " VALUES (%s, %s, 'X', now() - make_interval(days => %s))",
                (telegram_id, name, days),
            )
        upgrade(old_database_url)
        cursor.execute("SELECT telegram_id, username FROM users WHERE username IS NOT NULL ORDER BY 1")
        assert cursor.fetchall() == [(2, "Coin"), (4, "ann")]
    old.close()
