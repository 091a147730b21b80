"""What AsyncGuard promises while nothing is cancelled: the same answers, in threads of its own."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import dbcore
from dbcore import (
    LAST_KNOWN,
    AsyncGuard,
    Effect,
    FailureKind,
    Guard,
    Refuse,
    SettingsError,
    Tx,
    Unavailable,
    UsageError,
)
from dbcore.guard import deadline
from devstack.proxy import frozen
from tests.dbcore.guard.asynchronous import all_threads_taken, calls_under_way, comes_true, debit
from tests.dbcore.guard.conftest import DEBIT, NOTE, Account, Bank, pid_of

tenant = contextvars.ContextVar("tenant", default="nobody")


@pytest.fixture
def guard(bank: Bank) -> AsyncGuard:
    return AsyncGuard(bank.guard)


async def test_a_key_takes_effect_once_and_its_answer_is_repeated(bank: Bank, guard: AsyncGuard) -> None:
    done = await asyncio.gather(*(guard.transact(debit, key="k", name="pay") for _ in range(5)))
    assert sorted(effect.replayed for effect in done) == [False, True, True, True, True]
    assert {effect.value for effect in done} == {90}
    assert bank.balance() == 90


async def test_what_the_work_raises_rises(bank: Bank, guard: AsyncGuard) -> None:
    def refuses(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        raise Refuse("Sold out.", "sold_out")

    def duplicates(tx: Tx) -> None:
        tx.session.execute(NOTE, {"id": 1})
        tx.session.execute(NOTE, {"id": 1})

    for replayed in (False, True):
        with pytest.raises(Refuse) as refused:
            await guard.transact(refuses, key="k")
        assert (refused.value.reason, refused.value.replayed) == ("sold_out", replayed)
    with pytest.raises(IntegrityError):
        await guard.transact(duplicates)
    with pytest.raises(ZeroDivisionError):
        await guard.transact(lambda tx: 1 / 0)
    assert (bank.balance(), bank.notes(), bank.pool_is_idle()) == (100, 0, True)


async def test_each_call_has_retries_of_its_own(bank: Bank, guard: AsyncGuard) -> None:
    calls = [0] * 30

    def conflicts_twice(number: int, tx: Tx) -> int:
        calls[number] += 1
        if calls[number] < 3:
            tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"))
        return number

    done = await asyncio.gather(
        *(guard.transact(partial(conflicts_twice, i), key=f"k{i}") for i in range(30))
    )
    assert [effect.value for effect in done] == list(range(30))
    assert calls == [3] * 30


async def test_only_plain_functions_can_be_the_work(bank: Bank, guard: AsyncGuard) -> None:
    async def coroutine(_tx: Any) -> None: ...

    def generator(_tx: Any) -> Any:
        yield

    def returns(function: Any, argument: Any) -> Any:
        return function(argument)

    for wrong in (coroutine, generator):
        calls: list[Any] = [guard.transact, guard.run, guard.read(default=())]
        for call in calls:
            with pytest.raises(TypeError):
                await call(wrong)
        async with guard.session() as session:
            with pytest.raises(TypeError):
                await session.run(wrong)
    with pytest.raises(TypeError):
        await guard.transact(partial(returns, coroutine))
    with pytest.raises(TypeError):
        await guard.run(partial(returns, coroutine, None))
    assert bank.pool_is_idle()


async def test_the_work_sees_the_variables_of_its_task(bank: Bank, guard: AsyncGuard) -> None:
    def seen(_tx: object = None) -> str:
        value = tenant.get()
        tenant.set("changed in the thread")
        return value

    @guard.read(default="default")
    def read(session: Session) -> str:
        return seen()

    tenant.set("a")
    assert (await guard.transact(seen)).value == "a"
    assert await guard.run(seen) == "a"
    assert await read() == "a"
    async with guard.session() as session:
        tenant.set("b")
        assert await session.run(seen) == "b"
    assert tenant.get() == "b"


async def test_the_session_lives_in_one_thread_for_the_block(bank: Bank, guard: AsyncGuard) -> None:
    async with guard.session(writes=True) as session:
        threads = {await session.run(lambda _: threading.get_ident()) for _ in range(3)}
        assert len(threads) == 1 and threads != {threading.get_ident()}
        await session.run(lambda session: session.execute(NOTE, {"id": 1}) and None)
        account = await session.run(lambda session: session.get_one(Account, 1))
        with pytest.raises(UsageError, match="event loop"):
            len(account.notes)
        assert await session.run(lambda _: len(account.notes)) == 1
        with pytest.raises(IntegrityError):
            async with guard.session(writes=True) as other:
                await other.run(lambda session: session.execute(NOTE, {"id": None}) and None)
        with pytest.raises(UsageError):
            await session.run(lambda session: session.scalars(select(Account)))
        first = asyncio.ensure_future(session.run(lambda _: time.sleep(0.05)))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="one function at a time"):
            await session.run(lambda _: None)
        await first
        assert bank.notes() == 0
    assert (bank.notes(), bank.pool_is_idle()) == (1, True)
    with pytest.raises(UsageError, match="async with"):
        await session.run(lambda _: None)


async def test_a_session_ends_as_its_block_does(bank: Bank, guard: AsyncGuard) -> None:
    def note(number: int, session: Session) -> None:
        session.execute(NOTE, {"id": number})

    async def fails() -> None:
        async with guard.session(writes=True) as session:
            await session.run(partial(note, 1))
            raise ZeroDivisionError

    async def loses_its_connection() -> None:
        async with guard.session(writes=True) as session:
            bank.terminate(await session.run(pid_of))
            await session.run(pid_of)

    with pytest.raises(ZeroDivisionError):
        await fails()
    async with guard.session(writes=True) as session:
        await session.run(partial(note, 2))
        await session.run(Session.rollback)
        await session.run(partial(note, 3))
        await session.run(Session.commit)
        await session.run(partial(note, 4))
        await session.run(Session.rollback)
    assert bank.sql("SELECT id FROM bank_notes") == [(3,)]
    with pytest.raises(Unavailable):
        await loses_its_connection()
    with pytest.raises(ProgrammingError):
        async with guard.session() as session:
            await session.run(lambda session: session.execute(text("SELECT * FROM nowhere")) and None)
    await comes_true(bank.pool_is_idle)


async def test_a_read_answers_by_its_default_while_the_database_does_not(
    bank: Bank, guard: AsyncGuard
) -> None:
    @guard.read(default=lambda number: -number, deadline_seconds=0.3)
    def balance(session: Session, number: int) -> int:
        return session.get_one(Account, number).balance

    @guard.read(default=LAST_KNOWN, deadline_seconds=0.3)
    def known(session: Session, number: int) -> int:
        return session.get_one(Account, number).balance

    @guard.read(default=0)
    def misspelt(session: Session) -> Any:
        return session.scalar(text("SELECT balanse FROM bank_accounts"))

    with pytest.raises(ProgrammingError):
        await misspelt()
    assert await balance(1) == 100
    assert (await known(1)).as_of is None
    with ExitStack() as stopped:
        stopped.enter_context(frozen(bank.guard.transact(lambda tx: pid_of(tx.session)).value))
        bank.proxy.refuse()
        assert await balance(1) == -1
        last = await known(1)
        assert last.value == 100 and last.as_of is not None
        with pytest.raises(Unavailable):
            await known(2)


async def test_waiting_for_a_thread_counts_in_the_deadline(bank: Bank, guard: AsyncGuard) -> None:
    @guard.read(default="default", deadline_seconds=0.2)
    def read(session: Session) -> str:
        return "read"

    ran: list[int] = []
    async with all_threads_taken(guard):
        with pytest.raises(Unavailable) as full:
            await guard.transact(lambda tx: ran.append(1), deadline_seconds=0.2)
        assert full.value.kind is FailureKind.SATURATION
        assert await read() == "default"
    assert ran == []
    # Nor is anything lost by those that went.
    assert await asyncio.gather(*(read() for _ in range(4))) == ["read"] * 4
    assert bank.guard.engine.snapshot().failed_operations_total == 2
    assert bank.guard.breaker.snapshot().state == "closed"


async def test_what_waited_for_a_thread_has_what_is_left(bank: Bank, guard: AsyncGuard) -> None:
    def takes_long(tx: Tx) -> None:
        tx.session.execute(text("SELECT pg_sleep(30)"))

    left: list[float] = []

    def measured(tx: Tx) -> None:
        left.append(deadline.remaining_seconds())
        takes_long(tx)

    async with all_threads_taken(guard):
        call = asyncio.create_task(guard.transact(measured, deadline_seconds=0.8))
        await asyncio.sleep(0.3)
    with pytest.raises(Unavailable) as slow:
        await call
    assert slow.value.kind is FailureKind.SLOW
    assert left[0] < 0.5


async def test_a_frozen_database_holds_up_no_other_thread_of_the_program(
    bank: Bank, guard: AsyncGuard
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    def asks(tx: Tx) -> None:
        tx.session.execute(DEBIT)

    pids = await asyncio.gather(
        *(
            guard.transact(lambda tx: tx.session.scalar(text("SELECT pg_backend_pid(), pg_sleep(0.1)")))
            for _ in range(2)
        )
    )
    with frozen(*{pid.value for pid in pids}):
        calls = [asyncio.create_task(guard.transact(asks, deadline_seconds=1)) for _ in range(20)]
        await comes_true(lambda: len(calls_under_way()) == 2)
        await asyncio.to_thread(lambda: None)
        assert not any(call.done() for call in calls)
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in found} == {Unavailable}
    await comes_true(lambda: not calls_under_way())


async def test_an_open_breaker_refuses_without_waiting_for_a_thread(bank: Bank, guard: AsyncGuard) -> None:
    async with all_threads_taken(guard):
        bank.guard.breaker.force_open()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(guard.transact(debit), 10)
        bank.guard.breaker.reset()
    assert bank.balance() == 100


async def test_a_call_inside_the_work_is_refused(bank: Bank, guard: AsyncGuard) -> None:
    """It would wait for a thread that the work itself has."""
    loop = asyncio.get_running_loop()

    def nests(tx: Tx) -> None:
        for call in (guard.transact(debit), guard.run(lambda: 1), nested_session()):
            with pytest.raises(UsageError):
                asyncio.run_coroutine_threadsafe(call, loop).result(10)

    async def nested_session() -> None:
        async with guard.session():
            pass

    await guard.transact(nests)


async def test_a_call_beside_an_open_session_ends_by_its_deadline(bank: Bank) -> None:
    narrow = AsyncGuard.from_url(
        bank.proxy.url_of(str(bank.guard.engine._engine.url.database)), pool_size=1, max_overflow=0
    )
    async with narrow, narrow.session() as session:
        with pytest.raises(Unavailable) as full:
            await narrow.transact(debit, deadline_seconds=0.3)
        assert full.value.kind is FailureKind.SATURATION
        assert await session.run(pid_of)


async def test_a_call_finds_nothing_of_the_one_before(bank: Bank) -> None:
    local = threading.local()

    def left_behind() -> bool:
        found = hasattr(local, "value")
        local.value = 1
        return found

    own = create_engine(bank.guard.engine._engine.url, pool_size=1, max_overflow=0, pool_timeout=2)
    scoped = scoped_session(sessionmaker(own), scopefunc=lambda: "one for all")
    guard = AsyncGuard(bank.guard, scoped_sessions=[scoped])

    def breaks() -> None:
        scoped.execute(text("SELECT 1/0"))

    for _ in range(3):
        assert not await guard.run(left_behind)
        with pytest.raises(Exception, match="division by zero"):
            await guard.run(breaks)
        assert await guard.run(lambda: scoped.scalar(text("SELECT 1"))) == 1
        assert own.pool.checkedout() == 0  # type: ignore[attr-defined]
    own.dispose()


async def test_several_loops_share_it(bank: Bank, guard: AsyncGuard) -> None:
    numbers = itertools.count(1)

    async def calls() -> list[Effect[int]]:
        return list(await asyncio.gather(*(guard.transact(debit, key=f"k{next(numbers)}") for _ in range(3))))

    found = await asyncio.gather(*(asyncio.to_thread(asyncio.run, calls()) for _ in range(3)))
    assert sorted(effect.value for effects in found for effect in effects) == list(range(10, 100, 10))
    assert len(await calls()) == 3 if bank.balance() >= 30 else bank.balance() == 10


def test_a_forked_child_has_threads_and_connections_of_its_own(bank: Bank) -> None:
    guard = AsyncGuard(bank.guard)

    def in_child() -> None:
        pid = os.fork()
        if pid:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            return
        code = 1
        try:
            code = 0 if asyncio.run(guard.transact(debit, key="child")).value == 90 else 2
        finally:
            os._exit(code)

    async def main() -> None:
        await guard.transact(lambda tx: None)
        async with all_threads_taken(guard):
            # A thread of its own: a child in a running loop has that loop's leftovers.
            await asyncio.to_thread(in_child)
        assert (await guard.transact(debit, key="parent")).value == 80

    asyncio.run(main())


async def test_closing_leaves_no_thread_and_no_connection(bank: Bank, guard: AsyncGuard) -> None:
    call = asyncio.create_task(
        guard.transact(lambda tx: tx.session.execute(text("SELECT pg_sleep(0.3)")) and None)
    )
    await comes_true(calls_under_way)
    await guard.close()
    await call
    await comes_true(lambda: not calls_under_way())
    assert bank.guard._made is None
    assert (await guard.transact(debit)).value == 90


async def test_a_thread_that_cannot_be_had_is_no_outage(
    bank: Bank, guard: AsyncGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await guard.transact(debit)
    assert (await guard.transact(debit)).value == 90


def test_it_is_made_like_a_guard(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dbcore.AsyncGuard is AsyncGuard
    guard = AsyncGuard.from_url("postgresql://u:p@h/db", pool_size=4, max_overflow=1, deadline_seconds=2)
    assert (guard.guard.connections_max, guard.guard.deadline_seconds) == (5, 2)
    with pytest.raises(SettingsError):
        AsyncGuard.from_url("postgresql://u:p@h/db", pool_size=0)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h/db")
    monkeypatch.setenv("DB_POOL_SIZE", "2")
    assert AsyncGuard.from_env().guard.connections_max >= 2
    assert isinstance(guard.guard, Guard)
