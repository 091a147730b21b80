"""What `Guard.session` promises: real transactions, one run of its body, errors that say what is the case."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from functools import partial

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.orm import selectinload

from dbcore import FailureKind, OutcomeUnknown, Unavailable, UsageError
from devstack.proxy import Answer, Cut, On, Rule, ServerError, Side, frozen
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.conftest import DEBIT, NOTE, Account, Bank, Note, in_threads, pid_of


def has_ended(bank: Bank, pid: int) -> bool:
    return bank.sql("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == [(0,)]


def test_commit_rollback_and_savepoints_do_what_they_say(bank: Bank) -> None:
    with bank.guard.session(writes=True) as session:
        session.execute(DEBIT)
        assert bank.balance() == 100  # nobody else sees it yet
        session.commit()
        assert bank.balance() == 90
        session.execute(DEBIT)
        session.rollback()
        session.execute(NOTE, {"id": 1})
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(NOTE, {"id": 1})
        with session.begin_nested() as savepoint:
            session.execute(DEBIT)
            savepoint.rollback()
        session.add(Note(id=2, account_id=1))
    assert (bank.balance(), bank.notes()) == (90, 2)

    def fails() -> None:
        with bank.guard.session(writes=True) as session:
            session.execute(DEBIT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with bank.guard.session(writes=True) as session, session.begin():
        session.execute(DEBIT)
    assert bank.balance() == 80
    assert bank.pool_is_idle()


def test_a_write_in_a_session_that_reads_is_the_program_s_mistake(bank: Bank) -> None:
    """And no read-only server: the breaker hears nothing of it."""
    with pytest.raises(UsageError, match="writes=True"), bank.guard.session() as session:
        session.execute(DEBIT)
    assert (bank.balance(), bank.guard.breaker.snapshot().state) == (100, "closed")


def test_lazy_loading_works_inside_and_what_was_loaded_stays(bank: Bank) -> None:
    bank.sql("INSERT INTO bank_notes VALUES (1, 1), (2, 1)")
    with bank.guard.session() as session:
        account = session.scalars(select(Account)).one()
        assert [note.id for note in account.notes] == [1, 2]
        streamed = session.execute(text("SELECT generate_series(1, 95)"), execution_options={"yield_per": 10})
        assert sum(1 for _ in streamed) == 95
    assert (account.balance, len(account.notes)) == (100, 2)
    with bank.guard.session() as session:
        session.scalars(select(Account).options(selectinload(Account.notes))).one()


def test_one_statement_is_two_messages_and_a_clean_session_costs_none(bank: Bank) -> None:
    with bank.guard.session() as session:
        assert session.scalar(text("SELECT 7")) == 7
    begin, end = bank.proxy.statements()
    assert begin.startswith("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;") and begin.endswith(
        "\nSELECT 7"
    )
    assert end == "COMMIT"
    bank.proxy.forget()
    with bank.guard.session():
        pass
    assert bank.proxy.statements() == []


def test_what_a_session_was_set_to_ends_with_it(bank: Bank) -> None:
    for statement in (
        "SET search_path = pg_catalog",
        "SELECT set_config('search_path', 'pg_catalog', false)",
        "SELECT 1;\n set search_path = pg_catalog",
        "DO $$ BEGIN SET search_path = pg_catalog; END $$",
    ):
        with bank.guard.session(writes=True) as session:
            session.execute(text(statement))
        shown = bank.guard.engine.fetch_row("SHOW search_path", name="next")
        assert shown == ('"$user", public',)


def test_errors_inside_are_sqlalchemy_s_and_what_leaves_says_whether_anything_was_applied(bank: Bank) -> None:
    bodies: list[str] = []

    def debits() -> None:
        with bank.guard.session(writes=True) as session:
            bodies.append("run")
            try:
                session.execute(DEBIT)
            except OperationalError:
                bodies.append("caught")
                raise

    bank.proxy.add(Rule(On(statement="UPDATE bank"), Cut()))
    with pytest.raises(Unavailable) as away:
        debits()
    assert (bodies, away.value.kind, bank.balance()) == (["run", "caught"], FailureKind.OUTAGE, 100)

    # The first five are BEGIN's, which says COMMITTED, and those of its SETs and first statement.
    bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT", nth=6), Cut()))
    with pytest.raises(OutcomeUnknown):
        debits()
    assert bank.balance() == 90

    def in_halves() -> None:
        with bank.guard.session(writes=True) as session:
            session.execute(DEBIT)
            session.commit()
            bank.terminate(pid_of(session))
            session.execute(DEBIT)  # lost, and not applied; the first half was

    with pytest.raises(OutcomeUnknown):
        in_halves()
    assert bank.balance() == 80

    with pytest.raises(DBAPIError), bank.guard.session() as session:
        session.execute(text("SELECT no_such_column"))
    bank.proxy.add(Rule(On(kind="Q", statement="SELECT 8"), Answer(ServerError("too many", "53300"))))
    with pytest.raises(Unavailable) as crowded, bank.guard.session() as session:
        session.execute(text("SELECT 8"))
    assert crowded.value.kind is FailureKind.SATURATION
    assert bank.pool_is_idle()


def test_a_stream_that_fails_after_a_commit_does_not_make_it_undone(bank: Bank) -> None:
    def streams() -> None:
        with bank.guard.session(writes=True) as session:
            session.execute(DEBIT)
            session.commit()
            session.execute(text("SET LOCAL statement_timeout = '300ms'"))
            rows = session.execute(
                text("SELECT n, pg_sleep(n / 60) FROM generate_series(1, 99) n"),
                execution_options={"yield_per": 10},
            )
            rows.fetchall()  # the server says no in the middle of the rows

    with pytest.raises(OutcomeUnknown):
        streams()
    assert bank.balance() == 90


def test_a_swallowed_error_is_not_taken_for_a_commit(bank: Bank) -> None:
    def swallows() -> None:
        with bank.guard.session(writes=True) as session:
            session.execute(DEBIT)
            with suppress(DBAPIError):
                session.connection().exec_driver_sql("SELECT 1/0")

    with pytest.raises(InternalError, match="nothing was committed"):
        swallows()
    assert bank.balance() == 100


def test_a_frozen_backend_holds_a_session_no_longer_than_its_deadline(bank: Bank) -> None:
    """Wherever it stands still: in a statement, in what streams, in COMMIT, or when the block is left."""

    def meets(number: int, stopped: ExitStack, pids: list[int]) -> None:
        with bank.guard.session(writes=True, deadline_seconds=0.3) as session:
            pids.append(pid_of(session))
            session.execute(DEBIT)
            stopped.enter_context(frozen(pids[0]))
            if number == 0:
                session.execute(text("SELECT 1"))
            elif number == 1:
                raise ZeroDivisionError

    for number in range(3):
        pids: list[int] = []
        with ExitStack() as stopped:
            began = time.monotonic()
            with pytest.raises((Unavailable, OutcomeUnknown, ZeroDivisionError)):
                meets(number, stopped, pids)
            assert time.monotonic() - began < 5
            assert bank.pool_is_idle()
        eventually(partial(has_ended, bank, pids[0]))
        bank.guard.breaker.reset()
    assert bank.balance() == 90  # the COMMIT came to a backend that stood still, and was carried out later


def test_a_pool_that_is_used_up_is_saturation_and_waits_no_longer_than_the_deadline(bank: Bank) -> None:
    with bank.guard.session() as one, bank.guard.session() as another:
        one.execute(text("SELECT 1"))
        another.execute(text("SELECT 1"))
        with pytest.raises(Unavailable) as full, bank.guard.session(deadline_seconds=0.2):
            pass
    assert full.value.kind is FailureKind.SATURATION
    found = in_threads(6, lambda: list(map(int, _numbers(bank))))
    assert found == [[1]] * 6


def _numbers(bank: Bank) -> list[int]:
    with bank.guard.session() as session:
        return list(session.scalars(text("SELECT 1")))


def test_a_connection_that_was_cut_while_idle_is_replaced_unseen(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbcore.guard.liveness.LOOK_AFTER_IDLE_SECONDS", 0.0)
    with bank.guard.session() as session:
        pid = pid_of(session)
    bank.terminate(pid)
    eventually(lambda: bank.proxy.connections_open == 0)
    with bank.guard.session() as session:
        assert pid_of(session) != pid
    assert bank.guard.engine.snapshot().failures_by_kind == {}
