"""What the guard costs: the same statements through bare SQLAlchemy, the guard, tenacity with pybreaker, and DBOS.

All run in this process and on one server with fsync on, in turns of a fraction of a second, so that what else the
machine does hits all alike; a ratio is the median of those of neighbouring turns.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pybreaker
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from dbcore import Guard, Tx
from dbcore.database_url import read_database_url

_ACCOUNTS = 1_000
_TURN_SECONDS = 0.1
TARGETS = {"transact_with_key": 1.5, "session": 1.1}
"""At most so many times what bare SQLAlchemy takes."""


class _Base(DeclarativeBase):
    pass


class _Account(_Base):
    __tablename__ = "bench_accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


class _Note(_Base):
    __tablename__ = "bench_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int]


def _write(session: Session) -> int:
    """Three statements: read an account, change it, add a row."""
    account = session.get_one(_Account, random.randint(1, _ACCOUNTS))
    account.balance += 1
    session.add(_Note(account_id=account.id))
    session.flush()
    return account.balance


def _read(session: Session) -> int:
    """Two statements."""
    account = session.get_one(_Account, random.randint(1, _ACCOUNTS))
    return account.balance + int(session.scalar(text("SELECT 1")) or 0)


def run(database_url: str, seconds: float) -> dict[str, Any]:
    """Milliseconds of one transaction, and how many times bare SQLAlchemy's that is.

    database_url -- a migrated database; tables are added to it. seconds -- for each way.
    """
    url = read_database_url(database_url)
    bare = create_engine(url)
    _Base.metadata.create_all(bare)
    with Session(bare) as session, session.begin():
        session.add_all(_Account(id=number, balance=0) for number in range(1, _ACCOUNTS + 1))
    guard = Guard.from_url(database_url, deadline_seconds=30)
    breaker = pybreaker.CircuitBreaker()
    keys = (f"bench-{uuid.uuid4().hex}-{number}" for number in itertools.count())
    dbos, close_dbos = _dbos(url, keys)

    def bare_write() -> None:
        with Session(bare) as session, session.begin():
            _write(session)

    def bare_read() -> None:
        with Session(bare) as session:
            _read(session)
            session.commit()

    def tenacity_and_pybreaker() -> None:
        for attempt in Retrying(
            retry=retry_if_exception_type(OperationalError),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            stop=stop_after_attempt(3),
            reraise=True,
        ):
            with attempt:
                breaker.call(bare_write)

    def work(tx: Tx) -> int:
        return _write(tx.session)

    def session_write() -> None:
        with guard.session(writes=True) as session:
            _write(session)

    def session_read() -> None:
        with guard.session() as session:
            _read(session)

    read = guard.read(default=0)(_read)
    writes: dict[str, Callable[[], Any]] = {
        "bare": bare_write,
        "transact_with_key": lambda: guard.transact(work, key=next(keys), name="bench"),
        "transact": lambda: guard.transact(work),
        "session": session_write,
        "tenacity_pybreaker": tenacity_and_pybreaker,
        "dbos_datasource": dbos,
    }
    reads: dict[str, Callable[[], Any]] = {"bare": bare_read, "session": session_read, "read": read}
    try:
        return {"write": _compare(writes, seconds), "read": _compare(reads, seconds)}
    finally:
        close_dbos()
        guard.close()
        bare.dispose()


def _dbos(url: str, keys: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    """The write as a transaction of DBOS's datasource, once for each workflow id: what DBOS has in place of a key."""
    from dbos import DBOS, SetWorkflowID, SQLAlchemyDatasource  # for the other benchmarks nobody needs it

    engine = create_engine(url)
    datasource = SQLAlchemyDatasource.create(url, engine=engine)
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})

    @datasource.transaction(isolation_level="READ COMMITTED")
    def step() -> int:
        return _write(datasource.sql_session())

    @DBOS.workflow()
    def workflow() -> Any:
        return step()

    DBOS.launch()

    def once() -> None:
        with SetWorkflowID(next(keys)):
            workflow()

    def close() -> None:
        with suppress(Exception):
            DBOS.destroy()
        engine.dispose()

    return once, close


def _compare(ways: dict[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
    for call in ways.values():
        _turn(call, _TURN_SECONDS)  # warm: plans, pools, caches
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(max(1, round(seconds / _TURN_SECONDS))):
        for name, call in ways.items():
            took[name].append(_turn(call, _TURN_SECONDS))
    return {
        name: {
            "milliseconds": round(statistics.median(times) * 1_000, 3),
            "ratio": round(
                statistics.median(one / bare for one, bare in zip(times, took["bare"], strict=True)), 3
            ),
        }
        for name, times in took.items()
    }


def _turn(call: Callable[[], Any], seconds: float) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    until = started + seconds
    for count in itertools.count(1):
        call()
        if (now := time.perf_counter()) >= until:
            return (now - started) / count
    raise AssertionError
