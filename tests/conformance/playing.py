"""Plays one case: a real client, the guarded engine, the proxy, a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dbcore.breaker import BreakerReason, BreakerState
from dbcore.engine import GuardedEngine
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from dbcore.settings import Settings
from devstack.proxy import FaultProxy
from devstack.proxy.wire import SSL_QUESTION, STARTUP
from tests.conformance.cases import MARK, Case, Effect, End, Place

STATEMENT = f"SELECT {MARK}"
ANSWER = 42
DEADLINE_SECONDS = 60.0


class Via(StrEnum):
    """How the statement is run: their errors reach the engine on different ways."""

    DRIVER = "driver"
    SQLALCHEMY = "sqlalchemy"


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one call. tries -- as the proxy saw them."""

    kind: FailureKind | None
    tries: int
    breaker: Effect | str
    end: End | int  # the answer, where it succeeded
    kinds: dict[str, int]


@contextmanager
def engine_through(
    proxy: FaultProxy, database: str, *, sslmode: str | None = None, **options: Any
) -> Iterator[GuardedEngine]:
    """An engine that does not wait between tries."""
    settings = Settings(
        _env_file=None,
        database_url=proxy.url_of(database) + (f"?sslmode={sslmode}" if sslmode else ""),
        db_pool_size=1,
        db_max_overflow=0,
        db_deadline_seconds=DEADLINE_SECONDS,
    )
    engine = GuardedEngine(settings, sleep=lambda _seconds: None, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def ask(engine: GuardedEngine, via: Via = Via.DRIVER, **options: Any) -> int:
    """Run the statement that is played."""
    if via is Via.DRIVER:
        answer: int = engine.fetch_row(STATEMENT, name="conformance", **options)[0]
        return answer
    return engine.call(
        lambda connection: int(connection.execute(text(STATEMENT)).scalar_one()),
        name="conformance",
        **options,
    )


def play(
    case: Case,
    proxy: FaultProxy,
    database: str,
    *,
    via: Via = Via.DRIVER,
    times: int | None = None,
    writes: bool = True,
) -> Played:
    """One call while the failure lasts. Then the failure is over, and the engine must answer again.

    times -- how often it happens; None: for as long as the call tries.
    """
    proxy.clear()
    with engine_through(proxy, database) as engine:
        if case.place is Place.QUERY:
            ask(engine)
        proxy.forget()
        proxy.add(case.rule(times))
        end, kind = _outcome(lambda: ask(engine, via, writes=writes))
        tries = _tries(case, proxy)
        played = Played(kind, tries, effect_on(engine), end, engine.snapshot().failures_by_kind)
        proxy.clear()
        engine.breaker.reset()
        if ask(engine, via) != ANSWER:
            raise AssertionError("the engine did not recover")
        return played


def _tries(case: Case, proxy: FaultProxy) -> int:
    if case.place is Place.QUERY:
        return len(proxy.statements(MARK))
    return proxy.count(SSL_QUESTION if case.on.kind == SSL_QUESTION else STARTUP)


def _outcome(call: Callable[[], int]) -> tuple[End | int, FailureKind | None]:
    try:
        return call(), None
    except DatabaseAway as away:
        unknown = isinstance(away, OutcomeUnknown)
        return (End.OUTCOME_UNKNOWN if unknown else End.UNAVAILABLE), away.kind
    except (DBAPIError, psycopg2.Error):
        return End.UNTOUCHED, None


_OPENS = {
    BreakerReason.QUOTA: Effect.QUOTA,
    BreakerReason.STORAGE: Effect.STORAGE,
    BreakerReason.CONFIGURATION: Effect.CONFIGURATION,
}


def effect_on(engine: GuardedEngine) -> Effect | str:
    """What the call did to the breaker, which was closed and new."""
    breaker = engine.breaker.snapshot()
    if breaker.state is BreakerState.OPEN and breaker.reason is not None:
        return _OPENS.get(breaker.reason, f"opens: {breaker.reason}")
    if breaker.slow_calls:
        return Effect.SLOW
    return Effect.COUNTED if breaker.failures else Effect.NEUTRAL
