"""Every way into the guard, as one thing: a transaction that debits account 1, or a read of it, at the bank."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dbcore import AsyncGuard, Guard, GuardedSQLAlchemy
from dbcore.breaker.local import Breaker
from dbcore.guard.effects import Isolation
from devstack.proxy import On, Side
from tests.dbcore.guard.attaching import plain_engine
from tests.dbcore.guard.conftest import DEBIT

DEADLINE_SECONDS = 30.0
READ = text("SELECT balance FROM bank_accounts WHERE id = 1")
DEFAULT = -1
# Its BEGIN does not have the word COMMIT in it.
_ISOLATION: Isolation = "SERIALIZABLE"
_keys = itertools.count(1)


@dataclass(frozen=True)
class Way:
    """One way in, to a database of its own.

    run -- once, from outside: the balance that it left behind, or read. breaker -- the one that it goes by.
    """

    run: Callable[[], Any]
    breaker: Breaker


@dataclass(frozen=True)
class Kind:
    """What holds for a way, whatever the failure.

    open -- for a database's address. statement -- a part of its own statement. retries -- what a retry can mend is run
    again. keyed -- it has a key. attached -- its errors are SQLAlchemy's too. commit, committed -- the message with
    COMMIT, and the answer to it.
    """

    name: str
    open: Callable[[str], Any]
    statement: str = "UPDATE bank_accounts"
    retries: bool = False
    keyed: bool = False
    attached: bool = False
    commit: On = On(statement="COMMIT")  # noqa: RUF009  frozen
    committed: On = On(Side.SERVER, kind="C", statement="COMMIT")  # noqa: RUF009

    @property
    def reads(self) -> bool:
        return self.statement.startswith("SELECT")

    def __str__(self) -> str:
        return self.name


@contextmanager
def _guard(url: str) -> Iterator[Guard]:
    guard = Guard.from_url(url, pool_size=1, max_overflow=0, deadline_seconds=DEADLINE_SECONDS)
    guard.engine._sleep = lambda _seconds: None  # between attempts; the engine takes it as an argument
    try:
        yield guard
    finally:
        guard.close()


def _debit(session: Session) -> int:
    session.execute(DEBIT)
    return int(session.scalar(READ) or 0)


@contextmanager
def _transact(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        yield Way(
            lambda: guard.transact(lambda tx: _debit(tx.session), isolation=_ISOLATION).value, guard.breaker
        )


@contextmanager
def _transact_keyed(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        yield Way(
            lambda: guard.transact(lambda tx: _debit(tx.session), key=f"way {next(_keys)}").value,
            guard.breaker,
        )


@contextmanager
def _session(url: str) -> Iterator[Way]:
    with _guard(url) as guard:

        def run() -> int:
            with guard.session(writes=True) as session:
                return _debit(session)

        yield Way(run, guard.breaker)


@contextmanager
def _read(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        read = guard.read(default=DEFAULT, deadline_seconds=DEADLINE_SECONDS)
        yield Way(read(lambda session: session.scalar(READ)), guard.breaker)


@contextmanager
def _async_transact(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        many = AsyncGuard(guard)

        async def run() -> int:
            done = await many.transact(lambda tx: _debit(tx.session), key=f"way {next(_keys)}")
            return done.value

        yield Way(lambda: asyncio.run(run()), guard.breaker)


@contextmanager
def _async_session(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        many = AsyncGuard(guard)

        async def run() -> int:
            async with many.session(writes=True) as session:
                return await session.run(_debit)

        yield Way(lambda: asyncio.run(run()), guard.breaker)


@contextmanager
def _async_read(url: str) -> Iterator[Way]:
    with _guard(url) as guard:
        many = AsyncGuard(guard)
        read = many.read(default=DEFAULT, deadline_seconds=DEADLINE_SECONDS)(
            lambda session: session.scalar(READ)
        )

        async def run() -> Any:
            return await read()

        yield Way(lambda: asyncio.run(run()), guard.breaker)


@contextmanager
def _attached(url: str) -> Iterator[Way]:
    engine: Engine = plain_engine(url, pool_size=1)
    with _guard(url) as guard:
        guard.attach(engine, statement_seconds=DEADLINE_SECONDS, connect_seconds=DEADLINE_SECONDS)

        def run() -> int:
            with Session(engine) as session, session.begin():
                return _debit(session)

        yield Way(run, guard.breaker)
    engine.dispose()


@contextmanager
def _flask(url: str) -> Iterator[Way]:
    app = Flask("bank")
    app.testing = True  # errors rise
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 1, "max_overflow": 0}
    db = GuardedSQLAlchemy(app, statement_seconds=DEADLINE_SECONDS, connect_seconds=DEADLINE_SECONDS)

    @app.post("/debit")
    def debit() -> str:
        left = db.session.execute(DEBIT) and db.session.scalar(READ)
        db.session.commit()
        return str(left)

    with app.app_context():
        engine, breaker = db.engine, db.breaker()
    client = app.test_client()
    yield Way(lambda: int(client.post("/debit").text), breaker)
    engine.dispose()


_WITH_KEY = "INSERT INTO effects"
# The first messages with COMMIT in them are the BEGIN of READ COMMITTED, and the answers to what goes with it.
_OF_SESSION = {
    "commit": On(statement="COMMIT", nth=2),
    "committed": On(Side.SERVER, kind="C", statement="COMMIT", nth=6),
}
_OF_KEY = {
    "keyed": True,
    "commit": On(statement=_WITH_KEY),
    "committed": On(Side.SERVER, kind="C", statement=_WITH_KEY),
}
_SELECT = "SELECT balance FROM bank_accounts"

WAYS = (
    Kind("transact", _transact, retries=True),
    Kind("transact with a key", _transact_keyed, retries=True, **_OF_KEY),  # type: ignore[arg-type]
    Kind("session", _session, **_OF_SESSION),  # type: ignore[arg-type]
    Kind("read", _read, _SELECT, retries=True),
    Kind("async transact", _async_transact, retries=True, **_OF_KEY),  # type: ignore[arg-type]
    Kind("async session", _async_session, **_OF_SESSION),  # type: ignore[arg-type]
    Kind("async read", _async_read, _SELECT, retries=True),
    Kind("attach", _attached, attached=True),
    Kind("Flask", _flask, attached=True),
)
