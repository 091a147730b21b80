"""What `Guard.read` promises: a default for absence, and for nothing else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from dbcore import LAST_KNOWN, FailureKind, Known, Unavailable, UsageError
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, On, Rule, Silence, frozen_server
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.conftest import DEBIT, Account, Bank


def away(bank: Bank) -> None:
    bank.proxy.refuse()
    bank.proxy.sever()


def test_a_default_is_a_copy_or_a_function_s_answer(bank: Bank) -> None:
    @bank.guard.read(default=[0])
    def balances(session: Session) -> list[int]:
        return list(session.scalars(select(Account.balance)))

    @bank.guard.read(default=lambda number, *, word="": f"{number} {word}")
    def told(session: Session, number: int, *, word: str = "") -> str:
        return f"{session.scalar(select(Account.balance))} {number} {word}"

    assert (balances(), told(1, word="x")) == ([100], "100 1 x")
    away(bank)
    missing = balances()
    missing.append(1)
    assert (balances(), told(1, word="x")) == ([0], "1 x")


def test_the_last_known_answer_is_told_with_its_time(bank: Bank) -> None:
    @bank.guard.read(default=LAST_KNOWN)
    def account(session: Session, number: int) -> dict[str, int]:
        return {"balance": session.get_one(Account, number).balance}

    @bank.guard.read(default=LAST_KNOWN, remember_seconds=0)
    def forgets(session: Session) -> Any:
        return session.scalar(text("SELECT 1"))

    assert account(1) == Known({"balance": 100}, None)
    assert forgets() == Known(1, None)
    away(bank)
    known = account(1)
    known.value["balance"] = 0  # a copy, too
    known = account(1)
    assert known.value == {"balance": 100} and known.as_of is not None and known.as_of <= datetime.now(UTC)
    with pytest.raises(Unavailable):
        account(2)
    with pytest.raises(Unavailable):
        forgets()
    bank.proxy.accept()
    bank.sql("UPDATE bank_accounts SET balance = 90")
    eventually(lambda: account(1) == Known({"balance": 90}, None))
    with pytest.raises(UsageError, match="hashable"):
        account([1])  # type: ignore[arg-type]


def test_bugs_and_writes_are_no_absence(bank: Bank) -> None:
    def reading(statement: str) -> Any:
        return bank.guard.read(default=0)(lambda session: session.scalar(text(statement)))

    with pytest.raises(ProgrammingError):
        reading("SELECT no_such_column")()
    bank.sql("CREATE TABLE secret (n int)")
    with pytest.raises(Unavailable) as denied:
        reading("SELECT n FROM secret")()
    assert denied.value.kind is FailureKind.CONFIGURATION
    bank.guard.breaker.reset()
    with pytest.raises(UsageError, match="all"):
        bank.guard.read(default=0)(lambda session: session.scalars(select(Account)))()
    with pytest.raises(ZeroDivisionError):
        bank.guard.read(default=0)(lambda session: 1 / 0)()
    with pytest.raises(UsageError, match="begun to read"):
        bank.guard.read(default=0)(lambda session: session.execute(DEBIT) and 1)()
    assert (bank.balance(), bank.guard.breaker.snapshot().state) == (100, "closed")


def test_a_read_is_repeated_within_its_deadline_and_whole(bank: Bank) -> None:
    calls: list[int] = []

    @bank.guard.read(default=(), deadline_seconds=30)
    def numbers(session: Session) -> list[int]:
        calls.append(1)
        return list(session.scalars(text("SELECT generate_series(1, 50)")))

    bank.proxy.add(Rule(On(statement="generate_series"), Cut(1.0)))
    assert numbers() == list(range(1, 51))
    assert len(calls) == 2


def test_a_frozen_server_is_waited_for_once(
    bank: Bank, postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second read and all that follow have their default at once, and the breaker opens by a probe."""
    monkeypatch.setattr("dbcore.guard.engine.PROBE_SECONDS_MAX", 0.4)
    asked: list[str] = []

    @bank.guard.read(default="default", deadline_seconds=0.3)
    def word(session: Session) -> str:
        asked.append("asked")
        return str(session.scalar(text("SELECT 'word'")))

    assert word() == "word"
    assert postgres_server.pid is not None
    with frozen_server(postgres_server.pid):
        assert [word() for _ in range(50)] == ["default"] * 50
        assert asked == ["asked"] * 2
        eventually(lambda: bank.guard.breaker.snapshot().state == "open")
        assert word() == "default"
    eventually(lambda: word() == "word")
    eventually(lambda: bank.guard.breaker.snapshot().state == "closed" or word() is None)


def test_a_slow_query_is_no_frozen_server(bank: Bank) -> None:
    slow = bank.guard.read(default="default", deadline_seconds=0.1)(
        lambda session: session.scalar(text("SELECT pg_sleep(20)"))
    )
    quick = bank.guard.read(default="default")(lambda session: session.scalar(text("SELECT 'quick'")))
    assert slow() == "default"
    eventually(lambda: quick() == "quick")
    assert bank.guard.breaker.snapshot().state == "closed"


def test_no_thread_is_left_behind_by_suspicion(bank: Bank) -> None:
    slow = bank.guard.read(default="default", deadline_seconds=0.1)(
        lambda session: session.scalar(text("SELECT 'x'"))
    )
    placed = bank.proxy.add(Rule(On(statement="SELECT 'x'"), Silence()))
    assert slow() == "default"
    bank.proxy.remove(placed)
    eventually(lambda: not any(thread.name == "database-suspicion" for thread in threading.enumerate()))
