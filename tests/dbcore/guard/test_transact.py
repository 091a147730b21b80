"""What `Guard.transact` promises while the server is well."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import psycopg2.extensions
import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from dbcore import Effect, Guard, Refuse, Tx, UsageError
from tests.dbcore.guard.conftest import DEBIT, NOTE, Account, Bank, Note, in_threads


def debit(tx: Tx) -> int:
    tx.session.execute(DEBIT)
    return int(tx.session.scalar(text("SELECT balance FROM bank_accounts WHERE id = 1")) or 0)


def test_a_key_takes_effect_once_and_is_answered_with_the_first_result(bank: Bank) -> None:
    results: list[Any] = [
        None,
        0,
        1.5,
        1e16,
        10**30,
        "ünï \\u0000",
        [1, [2]],
        {"a": {"b": None}},
        (1, 2),
        True,
    ]
    for number, value in enumerate(results):

        def work(tx: Tx, value: Any = value) -> Any:
            tx.session.execute(DEBIT)
            return value

        kept = list(value) if isinstance(value, tuple) else value
        assert bank.guard.transact(work, key=f"k{number}") == Effect(kept, replayed=False)
        replay = bank.guard.transact(work, key=f"k{number}")
        assert replay == Effect(kept, replayed=True)
        assert type(replay.value) is type(kept)
        assert bank.balance() == 90
        bank.sql("UPDATE bank_accounts SET balance = 100")


def test_a_key_of_another_name_is_refused(bank: Bank) -> None:
    bank.guard.transact(debit, key="k", name="shop.buy")
    with pytest.raises(UsageError, match=r"belongs to 'shop\.buy'"):
        bank.guard.transact(debit, key="k", name="shop.sell")
    assert bank.balance() == 90


def test_one_key_at_once_in_many_threads_takes_effect_once(bank: Bank) -> None:
    for isolation in ("READ COMMITTED", "SERIALIZABLE"):
        effects = in_threads(
            8,
            lambda: bank.guard.transact(debit, key=f"k-{isolation}", isolation=isolation),  # noqa: B023
        )
        values = {effect.value for effect in effects}
        assert len(values) == 1
        assert sorted(effect.replayed for effect in effects) == [False] + [True] * 7
    assert bank.balance() == 80


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"x", "\x00", "\ud800", Account(id=7)])
def test_what_json_cannot_hold_is_an_error_before_the_commit(value: Any, bank: Bank) -> None:
    def work(tx: Tx) -> Any:
        tx.session.execute(DEBIT)
        return value

    with pytest.raises(UsageError, match="what JSON can hold"):
        bank.guard.transact(work, key="k")
    assert (bank.balance(), bank.keys()) == (100, [])


def test_without_a_key_anything_that_is_read_is_returned(bank: Bank) -> None:
    def work(tx: Tx) -> Account:
        account = Account(balance=5)
        tx.session.add(account)
        return account

    account = bank.guard.transact(work).value
    bank.proxy.refuse()
    bank.proxy.sever()
    assert (account.balance, account.id) == (5, 2)  # it asks nothing of the database


def test_a_result_that_is_still_to_be_fetched_is_refused(bank: Bank) -> None:
    for work in (
        lambda tx: tx.session.scalars(select(Account)),
        lambda tx: tx.session.execute(select(Account)),
        lambda tx: tx.connection.execute(select(Account)),
        lambda tx: (n for n in [1]),
    ):
        with pytest.raises(UsageError, match=r"\.all\(\)"):
            bank.guard.transact(work)

    def generator(_tx: Tx) -> Any:
        yield 1

    async def coroutine(_tx: Tx) -> None: ...

    for function in (generator, coroutine, partial(coroutine), lambda tx: coroutine(tx)):
        with pytest.raises(TypeError):
            bank.guard.transact(function)
        with pytest.raises(TypeError):
            bank.guard.read(default=[])(function)()  # type: ignore[arg-type]
    assert bank.pool_is_idle()


def test_a_refusal_rolls_back_and_is_the_answer_of_its_key(bank: Bank) -> None:
    def work(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        raise Refuse("That code is used up.", reason="used_up")

    for replayed in (False, True):
        with pytest.raises(Refuse, match="used up") as refused:
            bank.guard.transact(work, key="k")
        assert (refused.value.reason, refused.value.replayed) == ("used_up", replayed)
    with pytest.raises(Refuse):
        bank.guard.transact(debit, key="k")  # whatever it would do now
    with pytest.raises(Refuse):
        bank.guard.transact(work)
    assert (bank.balance(), bank.keys()) == (100, ["k"])


def test_a_refusal_that_comes_late_is_answered_by_what_was_done_meanwhile(bank: Bank) -> None:
    """The key's lock ends with the rollback, and somebody else can be quicker than the record of the refusal."""

    def work(_tx: Tx) -> int:
        raise Refuse("no")

    record = bank.guard.engine.fetch_row

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        bank.guard.engine.fetch_row = record  # type: ignore[method-assign]
        bank.guard.transact(debit, key="k")
        return record(*arguments, **options)

    bank.guard.engine.fetch_row = meanwhile  # type: ignore[method-assign]
    assert bank.guard.transact(work, key="k") == Effect(90, replayed=True)


ENDS: list[Callable[[Tx], Any]] = [
    lambda tx: tx.session.commit(),
    lambda tx: tx.session.rollback(),
    lambda tx: tx.session.close(),
    lambda tx: tx.session.begin(),
    lambda tx: tx.session.reset(),
    lambda tx: tx.session.__exit__(None, None, None),
    lambda tx: tx.connection.commit(),
    lambda tx: tx.connection.rollback(),
    lambda tx: tx.connection.begin(),
    lambda tx: tx.connection.close(),
    lambda tx: tx.session.execute(text("COMMIT")),
    lambda tx: tx.session.execute(text("/* now */ rollback")),
    lambda tx: tx.session.execute(text("BEGIN")),
    lambda tx: tx.connection.exec_driver_sql("END"),
    lambda tx: tx.connection.connection.cursor().execute("COMMIT"),
]


@pytest.mark.parametrize("key", ["k", None])
def test_work_that_ends_its_transaction_is_stopped_before_anything_is_sent(
    key: str | None, bank: Bank
) -> None:
    for end in ENDS:

        def work(tx: Tx, end: Callable[[Tx], Any] = end) -> None:
            tx.session.execute(DEBIT)
            end(tx)
            tx.session.execute(NOTE, {"id": 1})

        with pytest.raises(UsageError, match="inside transact"):
            bank.guard.transact(work, key=key)
        assert (bank.balance(), bank.notes(), bank.keys()) == (100, 0, [])
        assert bank.pool_is_idle()


def test_work_that_goes_round_the_guard_to_commit_is_found_out(bank: Bank) -> None:
    def by_driver(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        driver = cast(Any, tx.connection.connection.dbapi_connection)
        psycopg2.extensions.cursor(driver).execute("COMMIT")

    def and_begins(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        tx.connection.exec_driver_sql("UPDATE bank_accounts SET balance = balance; COMMIT; BEGIN")

    bank.sql("CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")

    def by_procedure(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        tx.session.execute(text("CALL commits()"))

    for work in (by_driver, and_begins):
        with pytest.raises(UsageError, match="ended its transaction"):
            bank.guard.transact(work, key="k")
        assert bank.keys() == []
    left = bank.balance()
    with pytest.raises(DBAPIError, match="invalid transaction termination"):
        bank.guard.transact(by_procedure, key="k")
    assert (bank.balance(), bank.keys()) == (left, [])


def test_savepoints_are_the_work_s_own(bank: Bank) -> None:
    def work(tx: Tx) -> str:
        tx.session.execute(NOTE, {"id": 1})
        for _ in range(2):
            with suppress(IntegrityError), tx.session.begin_nested():
                tx.session.execute(DEBIT)
                tx.session.add(Note(id=1, account_id=1))
        with tx.connection.begin_nested() as savepoint:
            tx.session.execute(DEBIT)
            savepoint.rollback()
        with tx.session.begin_nested():
            tx.session.execute(DEBIT)
        return "done"

    assert bank.guard.transact(work, key="k").value == "done"
    assert (bank.balance(), bank.notes()) == (90, 1)


def test_a_conflict_inside_a_savepoint_may_be_caught_and_a_duplicate_rises_as_itself(bank: Bank) -> None:
    def deadlocks(tx: Tx) -> None:
        with suppress(DBAPIError), tx.session.begin_nested():
            tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        tx.session.execute(NOTE, {"id": 1})

    def repeats(tx: Tx) -> None:
        deadlocks(tx)
        with tx.session.begin_nested():
            tx.session.execute(NOTE, {"id": 1})

    with pytest.raises(IntegrityError):
        bank.guard.transact(repeats, key="k")
    bank.guard.transact(deadlocks, key="k")
    assert bank.notes() == 1


def test_an_error_that_is_swallowed_without_a_savepoint_commits_nothing(bank: Bank) -> None:
    def on_the_connection(tx: Tx) -> str:
        tx.session.execute(DEBIT)
        with suppress(DBAPIError):
            tx.connection.exec_driver_sql("SELECT 1/0")
        return "done, as far as I know"

    def in_a_flush(tx: Tx) -> str:
        tx.session.execute(DEBIT)
        tx.session.add(Note(id=1, account_id=17))
        with suppress(IntegrityError):
            tx.session.flush()
        return "done, as far as I know"

    def in_a_flush_and_goes_on(tx: Tx) -> None:
        in_a_flush(tx)
        tx.connection.execute(DEBIT)

    for key, work in itertools.product(("k", None), (on_the_connection, in_a_flush, in_a_flush_and_goes_on)):
        with pytest.raises(Exception, match=r"begin_nested|rolled back"):
            bank.guard.transact(work, key=key)
        assert (bank.balance(), bank.keys()) == (100, [])
    assert bank.pool_is_idle()


def test_a_conflict_that_is_swallowed_runs_the_whole_again(bank: Bank) -> None:
    calls = itertools.count(1)

    def work(tx: Tx) -> int:
        call = next(calls)
        tx.session.execute(DEBIT)
        if call == 1:
            with suppress(DBAPIError):
                tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        return call

    assert bank.guard.transact(work).value == 2
    assert bank.balance() == 90


def test_an_error_of_the_work_s_own_rises_as_it_is_and_leaves_nothing(bank: Bank) -> None:
    def boom(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        raise ZeroDivisionError

    def deferred(tx: Tx) -> None:
        tx.session.execute(DEBIT)
        tx.session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        tx.session.execute(text("INSERT INTO bank_notes (id, account_id) VALUES (1, 17)"))

    for key in ("k", None):
        with pytest.raises(ZeroDivisionError):
            bank.guard.transact(boom, key=key)
        with pytest.raises(IntegrityError):  # told at COMMIT, and definite
            bank.guard.transact(deferred, key=key)
        assert (bank.balance(), bank.notes(), bank.keys()) == (100, 0, [])
    states = bank.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'")
    assert states == [(0,)] and bank.pool_is_idle()


def test_the_connection_goes_back_as_it_came(bank: Bank) -> None:
    def work(tx: Tx) -> None:
        tx.session.execute(text("SET search_path = pg_catalog"))
        tx.session.execute(text("CREATE TEMPORARY TABLE left_over (n int)"))
        tx.session.execute(text("SELECT pg_advisory_lock(7)"))
        raise Refuse("no")

    with pytest.raises(Refuse):
        bank.guard.transact(work, key="k", isolation="SERIALIZABLE")
    with suppress(Refuse):
        bank.guard.transact(work, key="k2", deadline_seconds=20)

    def left(tx: Tx) -> list[Any]:
        shown = ("search_path", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        return [
            *(tx.session.scalar(text(f"SELECT current_setting('{name}')")) for name in shown[:1]),
            tx.session.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")),
            tx.session.scalar(text("SHOW transaction_isolation")),
        ]

    # The key's own lock is the one of its transaction.
    assert bank.guard.transact(left, key="k3").value == ['"$user", public', 1, "read committed"]
    assert bank.guard.engine.fetch_row(
        "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')::int",
        name="outside",
    ) == ("0", "0", 0)


def test_isolation_is_what_was_asked_for(bank: Bank) -> None:
    def shown(tx: Tx) -> Any:
        return tx.session.scalar(text("SHOW transaction_isolation"))

    for isolation in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
        for key in (None, f"k {isolation}"):
            assert bank.guard.transact(shown, key=key, isolation=isolation).value == isolation.lower()
    with pytest.raises(ValueError, match="isolation is one of"):
        bank.guard.transact(shown, isolation="AUTOCOMMIT")  # type: ignore[arg-type]


def test_serializable_transactions_that_collide_are_run_again(bank: Bank) -> None:
    def spend(tx: Tx) -> int:
        account = tx.session.get_one(Account, 1)
        account.balance -= 10
        return account.balance

    found = in_threads(
        4, lambda: bank.guard.transact(spend, isolation="SERIALIZABLE", deadline_seconds=30).value
    )
    assert sorted(found) == [60, 70, 80, 90]
    assert bank.guard.breaker.snapshot().state == "closed"


def test_nothing_guarded_begins_inside_the_work(bank: Bank) -> None:
    """It would hold a connection and wait for another: as many threads as connections, and nobody goes on."""
    read = bank.guard.read(default=0)(lambda session: session.scalar(text("SELECT 1")))

    def transacts(tx: Tx) -> Any:
        tx.session.execute(DEBIT)
        return bank.guard.transact(debit, key="inner")

    def opens_a_session(_tx: Tx) -> None:
        with bank.guard.session():
            pass

    for work in (transacts, opens_a_session, lambda _tx: read()):
        with pytest.raises(UsageError, match="inside the work of transact"):
            bank.guard.transact(work, key="outer")
    assert bank.guard.transact(lambda tx: read.__wrapped__(tx.session), key="outer").value == 1  # type: ignore[attr-defined]
    assert (bank.balance(), bank.keys()) == (100, ["outer"])


def test_hooks_run_once_after_a_known_commit(bank: Bank) -> None:
    mails: list[int] = []
    calls = itertools.count(1)

    def work(tx: Tx) -> int:
        call = next(calls)
        tx.session.execute(DEBIT)
        tx.after_commit(lambda: mails.append(bank.balance()))
        tx.after_commit(lambda: 1 / 0)
        if call == 1:
            tx.session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$"))
        return call

    assert bank.guard.transact(work, key="k") == Effect(2, replayed=False)
    assert bank.guard.transact(work, key="k") == Effect(2, replayed=True)
    assert mails == [90]


def test_a_listener_that_fails_after_the_commit_does_not_undo_the_answer(bank: Bank) -> None:
    def fails(_session: Session) -> None:
        raise ZeroDivisionError

    event.listen(Session, "after_commit", fails)
    try:
        assert bank.guard.transact(debit, key="k") == Effect(90, replayed=False)
        assert bank.guard.transact(debit) == Effect(80, replayed=False)
    finally:
        event.remove(Session, "after_commit", fails)
    assert bank.balance() == 80


def test_work_that_streams_its_rows_does_so_in_its_transaction(bank: Bank) -> None:
    def work(tx: Tx) -> int:
        stream = {"yield_per": 10}
        rows = tx.session.execute(text("SELECT generate_series(1, 95)"), execution_options=stream)
        seen = sum(1 for _ in rows)
        tx.session.execute(DEBIT)
        raise Refuse(str(seen))

    for key in ("k", None):
        with pytest.raises(Refuse, match="95"):
            bank.guard.transact(work, key=key)
    assert bank.balance() == 100


def test_a_key_needs_its_table_and_says_so(bank: Bank) -> None:
    bank.sql("DROP TABLE effects")
    for function in ("", "DROP FUNCTION effect_look_up"):
        if function:
            bank.sql(function)
        with pytest.raises(UsageError, match="python -m dbcore migrate"):
            bank.guard.transact(debit, key="k")
    assert bank.guard.transact(debit).value == 90


@pytest.mark.parametrize("schema", [None, "nobodys"])
def test_a_guard_that_looks_for_keys_in_the_wrong_schema_is_told_to_name_it(
    bots_database_url: str, schema: str | None
) -> None:
    guard = Guard.from_url(bots_database_url, schema=schema)
    with pytest.raises(UsageError, match=r"does not have.*BALLAST_SCHEMA.*schema="):
        guard.transact(lambda tx: 1, key="k")
    guard.close()


def test_what_cannot_be_a_key_is_refused(bank: Bank) -> None:
    for key in ("", "x" * 191, "a\x00b"):
        with pytest.raises(ValueError, match="a key has"):
            bank.guard.transact(debit, key=key)
    with pytest.raises(TypeError, match="a key is a text"):
        bank.guard.transact(debit, key=5)  # type: ignore[arg-type]  # as an update's id is
    assert bank.guard.transact(debit, key="ü" * 190).value == 90
