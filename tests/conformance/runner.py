"""Plays one case: a real client, the guarded engine, the proxy, a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg2
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dbcore.breaker.local import BreakerReason, BreakerState
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.liveness import LOOK_AFTER_IDLE_SECONDS
from dbcore.settings import Settings
from devstack.proxy import FaultProxy
from devstack.proxy.wire import SSL_QUESTION, STARTUP
from tests.conformance.cases import MARK, Case, Closed, Effect, End, Place

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
    said: str  # by the driver


def lie_idle() -> None:
    """Until the engine looks at its connections before it uses them."""
    time.sleep(LOOK_AFTER_IDLE_SECONDS)


def with_url_options(settings: Settings, options: str) -> Settings:
    """As DATABASE_URL would read with these, if the settings did not refuse them."""
    if not options or settings.database_url is None:
        return settings
    url = f"{settings.database_url.get_secret_value()}?{options}"
    return settings.model_copy(update={"database_url": SecretStr(url)})


@contextmanager
def engine_through(
    proxy: FaultProxy,
    database: str,
    *,
    url: str = "",
    deadline_seconds: float = DEADLINE_SECONDS,
    **options: Any,
) -> Iterator[GuardedEngine]:
    """An engine that does not wait between tries. url -- options of DATABASE_URL, also what settings refuse."""
    settings = Settings(
        _env_file=None,
        database_url=proxy.url_of(database),
        db_pool_size=1,
        db_max_overflow=0,
        db_deadline_seconds=deadline_seconds,
    )
    engine = GuardedEngine(with_url_options(settings, url), sleep=lambda _seconds: None, **options)
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
        replayable=True,
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
    with engine_through(proxy, database, url=case.url) as engine:
        if case.place is Place.QUERY:
            ask(engine)
        proxy.forget()
        with _happening(case, proxy, times):
            end, kind, said = _outcome(
                lambda: ask(engine, via, writes=writes, deadline_seconds=case.deadline_seconds)
            )
        tries = _tries(case, proxy) if case.on_the_wire else 1 + engine.snapshot().retries_total
        played = Played(kind, tries, effect_on(engine), end, engine.snapshot().failures_by_kind, said)
        engine.breaker.reset()
        if case.fault is not None and ask(engine, via) != ANSWER:
            raise AssertionError("the engine did not recover")
        return played


@contextmanager
def _happening(case: Case, proxy: FaultProxy, times: int | None) -> Iterator[None]:
    if isinstance(case.fault, Closed):
        proxy.refuse()
        yield
        proxy.accept()
    elif case.fault is not None:
        proxy.add(case.rule(times))
        yield
        proxy.clear()
    else:
        yield


def _tries(case: Case, proxy: FaultProxy) -> int:
    if case.place is Place.QUERY:
        return len(proxy.statements(MARK))
    return proxy.count(SSL_QUESTION if case.on.kind == SSL_QUESTION else STARTUP)


def _outcome(call: Callable[[], int]) -> tuple[End | int, FailureKind | None, str]:
    try:
        return call(), None, ""
    except DatabaseAway as away:
        unknown = isinstance(away, OutcomeUnknown)
        return (End.OUTCOME_UNKNOWN if unknown else End.UNAVAILABLE), away.kind, str(away.__cause__)
    except (DBAPIError, psycopg2.Error) as error:
        return End.UNTOUCHED, None, str(error)


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
