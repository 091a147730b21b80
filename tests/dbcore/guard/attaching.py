"""Engines as an app makes them, attached, and what is done to their connections."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, make_url, text

from dbcore.breaker.local import Breaker, BreakerLimits
from dbcore.guard.attached import attach_engine

NEVER_OPENS = BreakerLimits(failure_rate=2.0, slow_rate=2.0)
STATEMENT_SECONDS = 0.3
CONNECT_SECONDS = 2.0


@dataclass
class App:
    """An attached engine. `opened` has an entry for each connection that was made."""

    engine: Engine
    breaker: Breaker
    opened: list[object] = field(default_factory=list)


def plain_engine(url: str, **options: Any) -> Engine:
    driven = make_url(url).set(drivername="postgresql+psycopg2") if url else "postgresql+psycopg2://"
    return create_engine(driven, **{"pool_size": 2, "max_overflow": 0, **options})


@contextmanager
def attached(
    url: str,
    *,
    engine: Engine | None = None,
    limits: BreakerLimits = NEVER_OPENS,
    statement_seconds: float = STATEMENT_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
    ping_after_idle_seconds: float = 15.0,
    **options: Any,
) -> Iterator[App]:
    """An engine with these options, or the given one. Disposed of in the end."""
    app = App(engine or plain_engine(url, **options), Breaker(clock=time.monotonic, limits=limits))
    attach_engine(
        app.engine,
        breaker=app.breaker,
        statement_seconds=statement_seconds,
        connect_seconds=connect_seconds,
        ping_after_idle_seconds=ping_after_idle_seconds,
    )
    event.listen(app.engine, "connect", lambda connection, _record: app.opened.append(id(connection)))
    yield app
    app.engine.dispose()


def pid_of(connection: Connection) -> int:
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    assert isinstance(pid, int)
    return pid


def answers(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT 7")) == 7)


def checked_out(engine: Engine) -> int:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()
