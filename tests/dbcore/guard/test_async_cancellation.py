"""What AsyncGuard promises to a task that is cancelled: rolled back before COMMIT, let finish from then on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from tenacity import stop_after_attempt, wait_fixed

from dbcore import AsyncGuard, Effect, FailureKind, Guard, RetryPolicy, Tx
from dbcore.guard.threads import DRAIN_SECONDS
from devstack.proxy import Answer, Delay, On, Placed, Rule, ServerError, Side, Silence, frozen
from tests.dbcore.guard.asynchronous import all_threads_taken, calls_under_way, cancelled, comes_true, debit
from tests.dbcore.guard.attaching import checked_out, plain_engine
from tests.dbcore.guard.conftest import DEBIT, NOTE, Bank, pid_of

INSERT = "INSERT INTO bank_notes (id, account_id) VALUES (%s, 1) RETURNING id"
COMMIT_SLOWLY_ANSWERED = Rule(On(Side.SERVER, kind="C", statement="INSERT INTO effects"), Delay(0.5))
PROMPT_SECONDS_MAX = 10.0
"""Where what was cancelled would have gone on for thirty."""


@pytest.fixture
async def guard(bank: Bank) -> AsyncIterator[AsyncGuard]:
    """Nothing is left of a call after the test, whatever became of it."""
    yield AsyncGuard(bank.guard)
    await comes_true(lambda: not calls_under_way() and bank.pool_is_idle())
    found = bank.guard.breaker.snapshot()
    assert (found.state, found.failures, found.slow_calls) == ("closed", 0, 0)


async def test_a_call_that_waits_for_a_frozen_backend_ends_at_once(bank: Bank, guard: AsyncGuard) -> None:
    for key in ("k", None):
        before = bank.balance()
        pids: list[int] = []

        def work(tx: Tx, pids: list[int] = pids) -> None:
            tx.session.execute(DEBIT)
            pids.append(pid_of(tx.session))
            tx.session.execute(text("SELECT pg_sleep(30)"))

        task = asyncio.create_task(guard.transact(work, key=key))
        await comes_true(pids.__len__)
        with frozen(pids[0]):
            assert await cancelled(task) < PROMPT_SECONDS_MAX
            await comes_true(bank.pool_is_idle)
        bank.terminate(pids[0])
        assert (bank.balance(), len(pids)) == (before, 1)
    assert await guard.transact(debit, key="k") == Effect(90, replayed=False)


async def test_asyncio_timeout_bounds_a_call(bank: Bank, guard: AsyncGuard) -> None:
    def sleeps(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        tx.session.execute(text("SELECT pg_sleep(30)"))

    def asks(connection: Any) -> None:
        connection.execute(text("SELECT pg_sleep(30)"))

    calls: list[Callable[[], Awaitable[Any]]] = [
        partial(guard.transact, sleeps),
        partial(guard.run, partial(bank.guard.transact, sleeps)),
        partial(guard.run, partial(bank.guard.engine.call, asks, name="asks")),
        guard.read(default=0, deadline_seconds=30)(asks),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await call()
        assert time.monotonic() - began < PROMPT_SECONDS_MAX
    assert bank.balance() == 100


async def test_code_that_takes_no_notice_commits_nothing_any_more(bank: Bank, guard: AsyncGuard) -> None:
    """CancelledError does not wait for it, and whatever the code catches, there is no COMMIT."""
    begun, go_on = threading.Event(), threading.Event()

    def stubborn(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        begun.set()
        go_on.wait(30)

    def stubborn_between_statements(tx: Tx) -> None:
        stubborn(tx)
        with suppress(BaseException):
            tx.session.execute(DEBIT)

    for work in (stubborn, stubborn_between_statements):
        begun.clear()
        go_on.clear()
        task = asyncio.create_task(guard.transact(work, key="k"))
        await comes_true(begun.is_set)
        assert await cancelled(task) < PROMPT_SECONDS_MAX
        assert calls_under_way()
        go_on.set()
        await comes_true(lambda: not calls_under_way())
        assert (bank.balance(), bank.keys()) == (100, [])


async def test_a_commit_that_was_sent_is_let_finish(bank: Bank, guard: AsyncGuard) -> None:
    hooks: list[int] = []

    def work(tx: Tx) -> int:
        tx.after_commit(lambda: hooks.append(1))
        return debit(tx)

    placed = bank.proxy.add(COMMIT_SLOWLY_ANSWERED)
    task = asyncio.create_task(guard.transact(work, key="k"))
    await comes_true(lambda: placed.struck)
    await cancelled(task)
    assert bank.balance() == 90
    assert await guard.transact(work, key="k") == Effect(90, replayed=True)
    assert hooks == [1]


async def test_on_an_attached_engine_it_is_the_same(bank: Bank, guard: AsyncGuard, database_url: str) -> None:
    """Code of one's own in `run`: a wait ends at once and is rolled back, a COMMIT is let finish."""
    engine = plain_engine(bank.proxy.url_of(database_url.rpartition("/")[2]))
    bank.guard.attach(engine)
    pids: list[int] = []

    def debits(and_then: str) -> None:
        with Session(engine) as session, session.begin():
            session.execute(DEBIT)
            pids.append(pid_of(session))
            session.execute(text(and_then))

    task = asyncio.create_task(guard.run(partial(debits, "SELECT pg_sleep(30)")))
    await comes_true(pids.__len__)
    with frozen(pids[0]):
        assert await cancelled(task) < PROMPT_SECONDS_MAX
    bank.terminate(pids[0])
    await comes_true(lambda: not calls_under_way())
    assert (bank.balance(), checked_out(engine)) == (100, 0)

    placed = bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Delay(0.5)))
    task = asyncio.create_task(guard.run(partial(debits, "SELECT 1")))
    await comes_true(lambda: placed.struck)
    await cancelled(task)
    await comes_true(lambda: not calls_under_way())
    assert (bank.balance(), checked_out(engine)) == (90, 0)
    engine.dispose()


async def test_a_second_cancel_does_not_shorten_the_wait_for_a_commit(bank: Bank, guard: AsyncGuard) -> None:
    slower = Rule(COMMIT_SLOWLY_ANSWERED.on, Delay(DRAIN_SECONDS + 0.3))
    placed = bank.proxy.add(slower)
    task = asyncio.create_task(guard.transact(debit, key="k"))
    await comes_true(lambda: placed.struck)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    await cancelled(task)
    assert bank.pool_is_idle()
    assert bank.keys() == ["k"]


async def test_a_lost_commit_is_not_asked_after_for_nobody(bank: Bank, guard: AsyncGuard) -> None:
    """Its answer is lost while its task is cancelled. The key tells what became of it."""
    calls: list[int] = []

    def work(tx: Tx) -> int:
        calls.append(1)
        return debit(tx)

    placed = bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="INSERT INTO effects"), Delay(0.3)))
    task = asyncio.create_task(guard.transact(work, key="k"))
    await comes_true(lambda: placed.struck)
    task.cancel()
    bank.proxy.sever()
    await cancelled(task)
    assert await guard.transact(work, key="k") == Effect(90, replayed=True)
    assert calls == [1]
    bank.guard.breaker.reset()


async def test_no_attempt_begins_after_the_cancel(bank: Bank, guard: AsyncGuard) -> None:
    """Not even after the wait for it, which ends too."""
    calls: list[int] = []

    def work(tx: Tx) -> None:
        calls.append(1)
        tx.session.execute(DEBIT)

    bank.proxy.add(Rule(On(statement="UPDATE bank"), Answer(ServerError("deadlock detected", "40P01"))))
    policy = RetryPolicy(stop=stop_after_attempt(3), wait=wait_fixed(20))
    task = asyncio.create_task(guard.transact(work, key="k", policy=policy))
    await comes_true(lambda: bank.guard.engine.snapshot().retries_total)
    began = time.monotonic()
    await cancelled(task)
    await comes_true(lambda: not calls_under_way())
    assert time.monotonic() - began < PROMPT_SECONDS_MAX
    assert (calls, bank.balance()) == ([1], 100)


async def test_a_call_that_waits_for_a_thread_is_cancelled_there(bank: Bank, guard: AsyncGuard) -> None:
    async with all_threads_taken(guard):
        ran: list[int] = []
        tasks = [asyncio.create_task(guard.run(partial(ran.append, i))) for i in range(5)]
        await asyncio.sleep(0)
        for task in tasks[:4]:
            assert await cancelled(task) < PROMPT_SECONDS_MAX
    await tasks[4]
    assert ran == [4]
    assert await asyncio.gather(*(guard.run(lambda: 1) for _ in range(4))) == [1] * 4


async def test_a_connect_is_cancelled(bank: Bank) -> None:
    """Of a server that takes the connection and says nothing."""
    placed = bank.proxy.add(Rule(On(kind="Startup"), Silence(), times=None))
    url = bank.proxy.url_of(str(bank.guard.engine._engine.url.database))
    guard = AsyncGuard(Guard.from_url(f"{url}?connect_timeout=30", deadline_seconds=30))
    task = asyncio.create_task(guard.transact(debit))
    await comes_true(lambda: placed.struck)
    assert await cancelled(task) < PROMPT_SECONDS_MAX
    await comes_true(lambda: not calls_under_way())
    assert guard.guard.breaker.snapshot().failures == 0
    bank.proxy.clear()
    assert (await guard.transact(debit)).value == 90
    await guard.close()


async def test_a_cancelled_session_is_rolled_back(bank: Bank, guard: AsyncGuard) -> None:
    reached = asyncio.Event()

    async def block(wait: Any) -> None:
        async with guard.session(writes=True) as session:
            await session.run(lambda session: session.execute(NOTE, {"id": 1}) and None)
            reached.set()
            await wait(session)

    for wait in (
        lambda session: asyncio.sleep(30),
        lambda session: session.run(lambda session: session.execute(text("SELECT pg_sleep(30)")) and None),
    ):
        reached.clear()
        task = asyncio.create_task(block(wait))
        await reached.wait()
        await asyncio.sleep(0.05)
        assert await cancelled(task) < PROMPT_SECONDS_MAX
        await comes_true(bank.pool_is_idle)
    assert bank.notes() == 0


async def test_what_a_session_committed_stays(bank: Bank, guard: AsyncGuard) -> None:
    """Each COMMIT in its middle is let finish as the last one is; what comes after it is not."""

    async def block() -> None:
        def two(session: Session) -> None:
            session.execute(NOTE, {"id": 1})
            placed.append(bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Delay(0.3))))
            session.commit()
            session.execute(NOTE, {"id": 2})
            session.commit()

        async with guard.session(writes=True) as session:
            await session.run(two)

    placed: list[Placed] = []
    task = asyncio.create_task(block())
    await comes_true(lambda: placed and placed[0].struck)
    await cancelled(task)
    await comes_true(bank.pool_is_idle)
    assert bank.sql("SELECT id FROM bank_notes") == [(1,)]


async def test_a_cancelled_probe_gives_its_place_back(bank: Bank, guard: AsyncGuard) -> None:
    breaker = bank.guard.breaker
    breaker.failed(breaker.free_permit, FailureKind.OUTAGE, trips_at_once=True)  # type: ignore[arg-type]
    await comes_true(lambda: breaker.snapshot().retry_after_seconds == 0)

    def sleeps(tx: Tx) -> None:
        tx.session.execute(text("SELECT pg_sleep(30)"))

    for _ in range(5):  # more than may probe at once
        bank.proxy.forget()
        task = asyncio.create_task(guard.transact(sleeps))
        await comes_true(lambda: any("pg_sleep" in message.statement for message in bank.proxy.messages()))
        await cancelled(task)
    for _ in range(breaker.limits.probes_to_close):
        await guard.transact(debit)
    assert breaker.snapshot().state == "closed"


def test_asyncio_run_returns_with_the_database_frozen(bank: Bank) -> None:
    """Calls at work, calls that wait for a thread, and a session are left behind."""
    guard = AsyncGuard(bank.guard)
    pids: list[int] = []

    def work(tx: Tx) -> None:
        tx.session.execute(NOTE, {"id": pid_of(tx.session)})
        pids.append(pid_of(tx.session))
        tx.session.execute(text("SELECT pg_sleep(30)"))

    async def main() -> tuple[Any, list[asyncio.Task[Any]]]:
        tasks = [asyncio.create_task(guard.transact(work, key=f"k{i}")) for i in range(6)]
        await comes_true(lambda: len(pids) == 2)
        stopped = frozen(*pids)
        stopped.__enter__()
        return stopped, tasks

    began = time.monotonic()
    stopped, tasks = asyncio.run(main())
    try:
        assert time.monotonic() - began < PROMPT_SECONDS_MAX
        assert all(task.cancelled() for task in tasks)
        for thread in calls_under_way():
            thread.join(PROMPT_SECONDS_MAX)
        assert not calls_under_way() and bank.pool_is_idle()
    finally:
        stopped.__exit__(None, None, None)
    assert bank.guard.breaker.snapshot().failures == 0
    for pid in pids:
        bank.terminate(pid)
    assert (bank.notes(), len(pids)) == (0, 2)


async def test_a_statement_that_commits_by_itself_is_let_finish(bank: Bank, guard: AsyncGuard) -> None:
    """As those of the ledger's own functions do. The next one is not sent."""
    engine = bank.guard.engine
    placed = bank.proxy.add(Rule(On(Side.SERVER, kind="C", statement="INSERT INTO bank_notes"), Delay(0.3)))

    def insert_two() -> None:
        for number in (7, 8):
            engine.fetch_row(INSERT, (number,), name="note")

    task = asyncio.create_task(guard.run(insert_two))
    await comes_true(lambda: placed.struck)
    await cancelled(task)
    await comes_true(lambda: not calls_under_way())
    assert bank.sql("SELECT id FROM bank_notes") == [(7,)]
