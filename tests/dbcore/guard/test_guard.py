"""What a Guard is made of, and what of it survives a fork. And the public names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

import dbcore
from dbcore import Guard, SettingsError, Tx
from dbcore.settings import Settings
from tests.dbcore.conftest import Sql
from tests.dbcore.guard.conftest import DEBIT, Bank, pid_of


def test_the_public_names_are_these() -> None:
    assert dbcore.__all__ == [
        "LAST_KNOWN",
        "Adjustment",
        "AsyncGuard",
        "BatchTx",
        "DatabaseAway",
        "Effect",
        "FailureKind",
        "Guard",
        "GuardedSQLAlchemy",
        "Held",
        "Known",
        "Moved",
        "OutcomeUnknown",
        "Refuse",
        "RetryPolicy",
        "SettingsError",
        "Transfer",
        "Tx",
        "Unavailable",
        "UsageError",
        "attach_engine",
    ]
    for name in dbcore.__all__:
        assert getattr(dbcore, name).__doc__ or name == "LAST_KNOWN"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dbcore.nothing


def test_a_name_is_loaded_when_it_is_used() -> None:
    script = (
        "import sys, dbcore; assert 'sqlalchemy' not in sys.modules; "
        "dbcore.Guard; assert 'sqlalchemy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_from_url_goes_by_its_arguments_alone(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("REDIS_URL", "not a url")
    monkeypatch.setenv("ADMIN_IDS", "not a number")
    guard = Guard.from_url(database_url, pool_size=1, max_overflow=0, deadline_seconds=20, currency="GOLD")
    assert guard.transact(lambda tx: tx.session.scalar(text("SELECT 7"))).value == 7
    assert (guard.engine.currency, guard.engine.snapshot().pool_max, guard.fleet) == ("GOLD", 1, None)
    guard.close()
    assert guard.transact(lambda tx: tx.session.scalar(text("SELECT 8"))).value == 8  # anew
    guard.close()
    with pytest.raises(SettingsError, match="postgresql://"):
        Guard.from_url("mysql://x")
    with pytest.raises(SettingsError, match="pool_size"):
        Guard.from_url(database_url, pool_size=0)


def test_from_env_goes_by_the_environment(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    make_settings: Callable[..., Settings],
    tmp_path: os.PathLike[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Guard.from_env()
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DB_DEADLINE_SECONDS", "17")
    guard = Guard.from_env()
    assert guard.engine.deadline_seconds == 17
    assert guard.transact(lambda tx: tx.session.scalar(text("SELECT 7"))).value == 7
    guard.close()


def test_with_redis_it_is_one_of_the_fleet(
    database_url: str, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    guard = Guard(make_settings(database_url=database_url, redis_url=redis_url))
    assert guard.transact(lambda tx: tx.session.scalar(text("SELECT 7"))).value == 7
    assert guard.fleet is not None and guard.fleet.balances.last(1, "CREDIT") is None
    guard.close()


def test_a_forked_child_has_connections_of_its_own(bank: Bank, sql: Sql) -> None:
    """Also while another thread holds the guard's lock; and the parent's connection is none the worse."""

    def debit(tx: Tx) -> int:
        tx.session.execute(DEBIT)
        return pid_of(tx.session)

    with bank.guard.session() as session:
        parents = pid_of(session)
        held, release = threading.Event(), threading.Event()

        def holds() -> None:
            with bank.guard._lock:
                held.set()
                release.wait(30)

        thread = threading.Thread(target=holds)
        thread.start()
        held.wait(30)
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    pids = {bank.guard.transact(debit).value for _ in range(2)}
                    status = (
                        0 if parents not in pids and bank.guard.breaker.snapshot().state == "closed" else 2
                    )
                finally:
                    os._exit(status)
            children.append(child)
        release.set()
        thread.join()
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        assert pid_of(session) == parents
    assert bank.balance() == 60
