"""`Guard.session`: a Session with real transactions. Its body runs once, for it is the caller's own block of code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from dbcore.guard import deadline, effects
from dbcore.guard.attempts import ClassifiedError, Progress, Transactions
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.transaction import refuse_inside_work


@contextmanager
def session(
    engine: GuardedEngine, *, writes: bool, name: str, deadline_seconds: float | None
) -> Iterator[Session]:
    """See Guard.session."""
    refuse_inside_work(engine, "guard.session")
    seconds = engine.deadline_seconds if deadline_seconds is None else deadline_seconds
    progress = Progress(time.monotonic() + min(seconds, deadline.remaining_seconds()))

    def opener() -> str:
        return effects.begin("READ COMMITTED", progress.until - time.monotonic(), read_only=not writes)

    call = Transactions(read_only=not writes)
    permit = engine.admit(writes)
    attempted = engine.now()
    try:
        with engine.connected(call, progress, opener) as connection:
            body = Session(connection, expire_on_commit=False)
            try:
                yield body
                body.commit()
            finally:
                with suppress(SQLAlchemyError):
                    body.close()
    except ClassifiedError as failed:
        kind = engine.judge(permit, failed, progress, attempted, writes=writes)
        engine.give_up(kind, name, failed, maybe_applied=progress.maybe_applied)
    except (DBAPIError, psycopg2.Error) as error:
        engine.refused_as_data(permit, name, error, progress, attempted)
        raise
    except BaseException:
        engine.breaker.release(permit)
        raise
    engine.answered(permit, progress, attempted)
