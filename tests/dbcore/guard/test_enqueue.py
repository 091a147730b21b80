"""What `tx.enqueue` promises: a job is part of the commit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dbcore import FailureKind, Guard, OutcomeUnknown, Refuse, Tx, Unavailable, UsageError, outbox
from devstack.proxy import Cut, On, Rule, Side
from tests.dbcore.conftest import Sql
from tests.dbcore.guard.conftest import COMMITTED_UNHEARD, DEBIT, NOTE, Bank, pid_of


@dataclass(frozen=True)
class Tell:
    """A job, as an author who has only dbcore may write one."""

    words: str
    kind: str = "replies.deliver"
    telegram_id: int | None = None

    def model_dump_json(self) -> str:
        return self.words


HELLO = Tell('{"text": "hello \\u0000"}', telegram_id=7)


@pytest.fixture
def announced() -> Iterator[list[int]]:
    """One item for each time that the process heard of jobs."""
    heard: list[int] = []
    outbox.listen(lambda: heard.append(1))
    yield heard
    outbox.listen(None)


def jobs(bank: Bank) -> int:
    return int(bank.sql("SELECT count(*) FROM outbox")[0][0])


def pays_and_tells(tx: Tx) -> int:
    tx.session.execute(DEBIT)
    tx.enqueue(HELLO)
    return 1


def test_a_job_is_committed_with_the_work_and_announced_once(bank: Bank, announced: list[int]) -> None:
    def work(tx: Tx) -> None:
        tx.enqueue(HELLO)
        tx.enqueue(Tell("{}", kind="shop.settle"), key="settle-9", user=8)
        assert announced == []

    bank.guard.transact(work)
    assert bank.sql("SELECT kind, payload::text, telegram_id, key FROM outbox ORDER BY id") == [
        ("replies.deliver", '{"text": "hello \\u0000"}', 7, None),
        ("shop.settle", "{}", 8, "settle-9"),
    ]
    rows = outbox.first(bank.guard.engine, 10)
    assert [(outbox.read(row.payload), row.telegram_id) for row in rows] == [
        ({"text": "hello \0"}, 7),
        ({}, 8),
    ]
    assert outbox.first(bank.guard.engine, 10, after=rows[0].id, without=[8]) == []
    assert announced == [1]


def test_what_is_rolled_back_leaves_no_job_and_announces_none(bank: Bank, announced: list[int]) -> None:
    def refuses(tx: Tx) -> None:
        pays_and_tells(tx)
        raise Refuse("No.")

    def breaks(tx: Tx) -> None:
        pays_and_tells(tx)
        tx.session.execute(NOTE, {"id": 1})
        tx.session.execute(NOTE, {"id": 1})

    def only_its_savepoint(tx: Tx) -> None:
        with tx.session.begin_nested() as savepoint:
            tx.enqueue(HELLO)
            savepoint.rollback()

    for _ in range(2):  # the second time it is the recorded answer
        with pytest.raises(Refuse):
            bank.guard.transact(refuses, key="k")
    with pytest.raises(IntegrityError):
        bank.guard.transact(breaks)
    assert announced == []
    bank.guard.transact(only_its_savepoint)
    assert (jobs(bank), bank.balance()) == (0, 100)


def test_a_retry_enqueues_once_and_a_replay_nothing(bank: Bank, announced: list[int]) -> None:
    calls = itertools.count(1)

    def work(tx: Tx) -> None:
        pays_and_tells(tx)
        if next(calls) == 1:
            bank.terminate(pid_of(tx.session))
            tx.session.execute(text("SELECT 1"))

    for replayed in (False, True):
        assert bank.guard.transact(work, key="k").replayed is replayed
    assert (jobs(bank), bank.balance(), next(calls), announced) == (1, 90, 3, [1])


def test_a_commit_without_an_answer_enqueued_once_with_a_key(bank: Bank, announced: list[int]) -> None:
    bank.proxy.add(COMMITTED_UNHEARD)
    assert bank.guard.transact(pays_and_tells, key="k").replayed is False
    assert (jobs(bank), bank.balance(), announced) == (1, 90, [1])


def test_a_commit_without_an_answer_or_a_key_has_its_job_if_it_took_effect(bank: Bank) -> None:
    bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut()))
    with pytest.raises(OutcomeUnknown):
        bank.guard.transact(pays_and_tells, isolation="SERIALIZABLE")
    assert (jobs(bank), bank.balance()) == (1, 90)


def test_an_error_of_who_hears_of_it_is_not_the_transactions(bank: Bank) -> None:
    def deaf() -> None:
        raise OSError("nobody there")

    outbox.listen(deaf)
    try:
        assert bank.guard.transact(pays_and_tells, key="k").value == 1
    finally:
        outbox.listen(None)
    assert jobs(bank) == 1


TOO_LONG = Tell('{"a": "' + "x" * outbox.PAYLOAD_LENGTH_MAX + '"}')


@pytest.mark.parametrize(
    "job", [Tell("{}", kind="Bad Kind"), Tell("[]"), Tell("{"), Tell('{"a": "\\ud800"}'), TOO_LONG]
)
def test_what_is_no_job_is_refused_before_it_is_sent(job: Tell, bank: Bank) -> None:
    with pytest.raises(UsageError, match="a job"):
        bank.guard.transact(lambda tx: tx.enqueue(job))
    with pytest.raises(UsageError, match="a job has a kind"):
        bank.guard.transact(lambda tx: tx.enqueue("hello"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key"):
        bank.guard.transact(lambda tx: tx.enqueue(HELLO, key="no spaces"))
    assert jobs(bank) == 0


def test_a_database_without_the_table_is_told_what_makes_it(bank: Bank, sql: Sql) -> None:
    sql("DROP TABLE outbox")
    with pytest.raises(UsageError, match="python -m dbcore migrate"):
        bank.guard.transact(pays_and_tells)
    assert bank.balance() == 100


def test_rows_are_read_only_where_they_could_be_removed(bank: Bank, sql: Sql) -> None:
    """Else a server that turned read-only would have its jobs handed out for as long as it stays so."""
    bank.guard.transact(pays_and_tells)
    sql(
        "ALTER DATABASE " + sql("SELECT current_database()")[0][0] + " SET default_transaction_read_only = on"
    )
    other = Guard.from_url(bank.proxy.url_of(sql("SELECT current_database()")[0][0]), deadline_seconds=1)
    try:
        with pytest.raises(Unavailable) as away:
            outbox.first(other.engine, 10)
        assert away.value.kind is FailureKind.STORAGE
    finally:
        other.close()
