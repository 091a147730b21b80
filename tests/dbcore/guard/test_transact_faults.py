"""What `Guard.transact` promises while connections break, backends hang and answers are lost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tenacity import stop_after_attempt, stop_after_delay, wait_none

from dbcore import Effect, FailureKind, OutcomeUnknown, RetryPolicy, Tx, Unavailable
from dbcore.guard.effects import ISOLATIONS
from devstack.proxy import Answer, Cut, On, Rule, ServerError, Side, frozen
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.conftest import COMMITTED_UNHEARD, DEBIT, NOTE, Account, Bank, in_threads, pid_of


def debit(tx: Tx) -> int:
    tx.session.execute(DEBIT)
    return int(tx.session.scalar(text("SELECT balance FROM bank_accounts WHERE id = 1")) or 0)


def balance_is(bank: Bank, wanted: int) -> bool:
    return bank.balance() == wanted


def test_the_whole_is_run_again_after_a_loss_in_its_middle(bank: Bank) -> None:
    """With a key and without: no COMMIT was sent, so nothing is in doubt."""
    for key in ("k", None):
        calls = itertools.count(1)

        def work(tx: Tx, calls: Iterator[int] = calls) -> int:
            call = next(calls)
            tx.session.execute(DEBIT)
            if call == 1:
                bank.terminate(pid_of(tx.session))
            tx.session.execute(NOTE, {"id": bank.notes() + 11})
            return call

        assert bank.guard.transact(work, key=key).value == 2
    assert (bank.balance(), bank.notes()) == (80, 2)
    assert bank.pool_is_idle()


def test_a_stream_that_is_cut_midway_is_read_again_from_its_beginning(bank: Bank) -> None:
    """Its rows come after the statement was answered: that is no COMMIT, and nothing is in doubt."""
    calls = itertools.count(1)

    def work(tx: Tx) -> list[int]:
        call = next(calls)
        tx.session.execute(DEBIT)
        rows = tx.session.execute(
            text("SELECT generate_series(1, 95), pg_backend_pid()"), execution_options={"yield_per": 10}
        )
        seen = []
        for number, pid in rows:
            seen.append(number)
            if (call, number) == (1, 15):
                bank.terminate(pid)
        return seen

    assert bank.guard.transact(work).value == list(range(1, 96))
    assert (bank.balance(), next(calls)) == (90, 3)


def test_the_second_attempt_starts_with_objects_as_they_were(bank: Bank) -> None:
    with bank.guard.session() as session:
        known = session.get_one(Account, 1)
    new = Account(balance=1)
    calls = itertools.count(1)

    def work(tx: Tx) -> int:
        tx.session.add_all([new, known])
        known.balance -= 10
        tx.session.flush()
        if next(calls) == 1:
            bank.terminate(pid_of(tx.session))
            tx.session.execute(text("SELECT 1"))
        return new.id

    number = bank.guard.transact(work, key="k").value
    assert bank.balance() == 90
    assert bank.sql("SELECT balance FROM bank_accounts WHERE id = %s", number) == [(1,)]


def test_what_the_work_set_in_its_session_is_set_again(bank: Bank) -> None:
    calls = itertools.count(1)

    def work(tx: Tx) -> Any:
        tx.session.execute(text("SELECT set_config('app.tenant', 'a', true)"))
        if next(calls) == 1:
            bank.terminate(pid_of(tx.session))
        return tx.session.scalar(text("SELECT current_setting('app.tenant')"))

    assert bank.guard.transact(work, key="k").value == "a"


def test_a_commit_without_an_answer_took_effect_once_with_a_key(bank: Bank) -> None:
    mails: list[int] = []
    calls = itertools.count(1)

    def work(tx: Tx) -> int:
        tx.after_commit(lambda: mails.append(1))
        return debit(tx) + next(calls) * 1_000

    bank.proxy.add(COMMITTED_UNHEARD)
    # It is this call's own effect, found by its key: the work ran once, and its hook does.
    assert bank.guard.transact(work, key="k") == Effect(1_090, replayed=False)
    assert bank.guard.transact(work, key="k") == Effect(1_090, replayed=True)
    assert (bank.balance(), mails, next(calls)) == (90, [1], 2)


def test_a_commit_without_an_answer_is_not_run_again_without_a_key(bank: Bank) -> None:
    calls = itertools.count(1)

    def work(tx: Tx) -> int:
        next(calls)
        return debit(tx)

    # The BEGIN of the default isolation has the word COMMIT in it.
    bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut()))
    with pytest.raises(OutcomeUnknown):
        bank.guard.transact(work, isolation="SERIALIZABLE")
    assert (bank.balance(), next(calls)) == (90, 2)


def test_after_a_lost_commit_the_key_alone_answers(bank: Bank) -> None:
    """Whatever the second attempt would meet: the code is used up by the first."""

    def use_up(tx: Tx) -> str:
        tx.session.execute(NOTE, {"id": 1})
        return "used"

    for isolation in ISOLATIONS:
        bank.guard.breaker.reset()
        bank.proxy.add(COMMITTED_UNHEARD)
        assert bank.guard.transact(use_up, key=f"k {isolation}", isolation=isolation).value == "used"
        with pytest.raises(IntegrityError):
            bank.guard.transact(use_up, key=f"another {isolation}", isolation=isolation)
        bank.sql("DELETE FROM bank_notes")


def test_a_lost_commit_that_was_not_applied_is_made_good(bank: Bank) -> None:
    """The message was lost on its way: the key says so, and what the next attempt meets is the answer."""
    for isolation in ISOLATIONS:
        bank.guard.breaker.reset()
        bank.proxy.add(Rule(On(statement="INSERT INTO effects"), Cut()))
        assert bank.guard.transact(debit, key=f"k {isolation}", isolation=isolation).replayed is False
    assert bank.balance() == 100 - 10 * len(ISOLATIONS)
    calls = itertools.count(1)

    def breaks(tx: Tx) -> None:
        tx.session.execute(NOTE, {"id": 1})
        if next(calls) > 1:
            tx.session.execute(NOTE, {"id": 1})

    for isolation in ISOLATIONS:
        calls = itertools.count(1)
        bank.guard.breaker.reset()
        bank.proxy.add(Rule(On(statement="INSERT INTO effects"), Cut()))
        with pytest.raises(IntegrityError):
            bank.guard.transact(breaks, key=f"broken {isolation}", isolation=isolation)
    assert bank.notes() == 0


def test_a_commit_that_a_hanging_backend_carries_out_late_is_unknown_until_its_key_is_asked(
    bank: Bank,
) -> None:
    """It stands still when COMMIT comes; the time is up; it goes on, and commits."""
    for key in ("k", None):
        before = bank.balance()
        with ExitStack() as stopped:

            def work(tx: Tx, stopped: ExitStack = stopped) -> int:
                left = debit(tx)
                stopped.enter_context(frozen(pid_of(tx.session)))
                return left

            with pytest.raises(OutcomeUnknown):
                bank.guard.transact(work, key=key, deadline_seconds=0.5)
        if key:
            assert bank.guard.transact(work, key=key) == Effect(before - 10, replayed=True)
        eventually(partial(balance_is, bank, before - 10))


def test_the_time_is_up_while_commit_is_under_way(bank: Bank) -> None:
    """Silence from COMMIT on: with a key and without it is unknown, never `not applied`; the key resolves it."""
    for key in ("k", None):
        before = bank.balance()
        placed = bank.proxy.add(
            Rule(
                On(Side.SERVER, kind="C", statement="INSERT INTO effects" if key else "COMMIT"),
                Cut(),
                times=None,
            )
        )
        bank.proxy.add(Rule(On(statement="effect_look_up", nth=2), Cut(), times=None))
        with pytest.raises(OutcomeUnknown):
            bank.guard.transact(debit, key=key, isolation="SERIALIZABLE", deadline_seconds=1)
        bank.proxy.remove(placed)
        bank.proxy.clear()
        assert bank.balance() == before - 10
        bank.guard.breaker.reset()
        if key:
            assert bank.guard.transact(debit, key=key, isolation="SERIALIZABLE") == Effect(
                before - 10, replayed=True
            )


def test_a_hanging_backend_is_unavailable_and_its_key_waits_for_it(bank: Bank) -> None:
    """No COMMIT was sent, so nothing is unknown. Attempts do not pile up behind the one that hangs."""
    pids: list[int] = []
    stopped = ExitStack()

    def work(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        pids.append(pid_of(tx.session))
        if len(pids) == 1:
            stopped.enter_context(frozen(pids[0]))
        tx.session.execute(text("SELECT 1"))

    with stopped:
        with pytest.raises(Unavailable) as slow:
            bank.guard.transact(work, key="k", deadline_seconds=0.5)
        with pytest.raises(Unavailable) as waits:
            bank.guard.transact(work, key="k", deadline_seconds=0.5)
    assert type(slow.value) is Unavailable and slow.value.kind is FailureKind.SLOW
    assert type(waits.value) is Unavailable and waits.value.kind is FailureKind.CONFLICT
    assert len(pids) == 1
    eventually(lambda: bank.sql("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pids[0]) == [(0,)])
    bank.guard.transact(work, key="k")
    assert bank.balance() == 90


def test_what_its_client_left_behind_ends_by_itself(bank: Bank) -> None:
    """The server was told how long a transaction may wait, work and idle."""

    def limits(tx: Tx) -> list[int]:
        shown = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [
            int(tx.session.scalar(text(f"SELECT setting FROM pg_settings WHERE name = '{name}'")) or 0)
            for name in shown
        ]

    for key in ("k", None):
        lock_ms, *left_ms = bank.guard.transact(limits, key=key, deadline_seconds=20).value
        assert 0 < lock_ms <= 16_000 and all(20_000 < ms <= 21_000 for ms in left_ms)


def test_between_attempts_nothing_is_held(bank: Bank) -> None:
    seen: list[Any] = []

    def look(_seconds: float) -> None:
        seen.append(
            (
                bank.pool_is_idle(),
                bank.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"),
            )
        )

    bank.guard.engine._sleep = look
    bank.proxy.add(
        Rule(On(statement="UPDATE bank"), Answer(ServerError("deadlock detected", "40P01")), times=2)
    )
    bank.guard.transact(debit, key="k")
    assert seen == [(True, [(0,)])] * 2
    assert bank.balance() == 90


def test_an_author_s_policy_says_how_often_and_how_long(bank: Bank) -> None:
    """One object for all threads, and each call has its own count."""
    waits: list[float] = []
    bank.guard.engine._sleep = waits.append
    calls = itertools.count(1)

    def conflicts(tx: Tx) -> None:
        next(calls)
        tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"))

    policy = RetryPolicy(stop=stop_after_attempt(3) | stop_after_delay(60), wait=wait_none())
    found = in_threads(2, lambda: bank.guard.transact(conflicts, policy=policy))
    assert [type(error) for error in found] == [Unavailable] * 2
    assert (next(calls), waits) == (7, [0.0] * 4)

    grows = RetryPolicy(stop=stop_after_attempt(4), wait=lambda state: state.attempt_number / 1_000)
    waits.clear()
    with pytest.raises(Unavailable):
        bank.guard.transact(conflicts, policy={FailureKind.CONFLICT: grows})
    assert waits == [0.001, 0.002, 0.003]
    with pytest.raises(Unavailable):
        bank.guard.transact(conflicts, policy={FailureKind.OUTAGE: grows})
    assert bank.guard.breaker.snapshot().state == "closed"


def test_what_callers_do_wrong_says_nothing_about_the_server(bank: Bank) -> None:
    def raises(_tx: Tx) -> None:
        raise ZeroDivisionError

    def duplicates(tx: Tx) -> None:
        tx.session.execute(NOTE, {"id": 1})
        tx.session.execute(NOTE, {"id": 1})

    def takes_its_time(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        time.sleep(0.55)
        tx.session.execute(DEBIT)

    for _ in range(12):
        with pytest.raises(ZeroDivisionError):
            bank.guard.transact(raises)
        with pytest.raises(IntegrityError):
            bank.guard.transact(duplicates)
    for _ in range(6):
        with pytest.raises(Unavailable) as slow:
            bank.guard.transact(takes_its_time, deadline_seconds=0.5)
        assert slow.value.kind is FailureKind.SLOW
    found = bank.guard.breaker.snapshot()
    assert (found.state, found.failures, found.slow_calls) == ("closed", 0, 0)


def test_a_probe_that_ends_in_any_way_gives_its_place_back(bank: Bank) -> None:
    class Stops(BaseException):
        pass

    def stops(_tx: Tx) -> None:
        raise Stops

    breaker = bank.guard.breaker
    breaker.failed(breaker.free_permit, FailureKind.OUTAGE, trips_at_once=True)  # type: ignore[arg-type]
    eventually(lambda: breaker.snapshot().retry_after_seconds == 0)
    for _ in range(5):  # more than may probe at once
        with pytest.raises(Stops):
            bank.guard.transact(stops)
    for _ in range(breaker.limits.probes_to_close):
        bank.guard.transact(debit)
    assert breaker.snapshot().state == "closed"


def test_an_open_breaker_refuses_at_once_and_lets_finish_what_is_under_way(bank: Bank) -> None:
    def opens(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        bank.guard.breaker.force_open()

    bank.guard.transact(opens, key="k")
    bank.proxy.forget()
    for _ in range(20):
        with pytest.raises(Unavailable):
            bank.guard.transact(debit, key="k2")
        with pytest.raises(Unavailable), bank.guard.session():
            pass
    assert bank.proxy.messages() == [] and bank.pool_is_idle()
    assert bank.balance() == 90


def test_many_calls_at_once_all_end(bank: Bank) -> None:
    """More threads than connections, and every connection lost in the middle."""
    for rule in (Rule(On(statement="UPDATE bank"), Cut(), times=2), COMMITTED_UNHEARD):
        bank.proxy.add(rule)
    numbers = itertools.count(1)
    found = in_threads(8, lambda: bank.guard.transact(debit, key=f"k{next(numbers)}"))
    failed = [each for each in found if isinstance(each, Exception)]

    def is_done(number: int) -> bool:
        with suppress(Unavailable):  # the losses may have opened the breaker
            return bool(bank.guard.transact(debit, key=f"k{number}"))
        return False

    for number in range(1, 9):
        eventually(partial(is_done, number))
    assert bank.balance() == 100 - 10 * len(bank.keys())
    assert len(bank.keys()) == 8, failed
    assert bank.pool_is_idle()
