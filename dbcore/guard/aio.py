"""`AsyncGuard`: the Guard for asyncio. The event loop never waits for the database; docs/guard.md has the rules.

    guard = AsyncGuard.from_env()
    done = await guard.transact(redeem, key=f"redeem-{update_id}", name="shop.redeem")

The work is a plain function, and runs in a thread of the guard's own. If its task is cancelled it is rolled back, or
its COMMIT is let finish.
"""

from __future__ import annotations

import atexit
import functools
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from sqlalchemy.orm import Session, scoped_session

from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from dbcore.guard import reading
from dbcore.guard.effects import Isolation
from dbcore.guard.guard import Guard
from dbcore.guard.reading import Known, Read
from dbcore.guard.retries import RETRIES, Policies
from dbcore.guard.session_thread import SessionThread
from dbcore.guard.threads import Job, Slots
from dbcore.guard.transaction import (
    Effect,
    Tx,
    refuse_inside_work,
    require_finished,
    require_plain_function,
)
from dbcore.last_known import LastKnown

T = TypeVar("T")
P = ParamSpec("P")

_RETRY_AFTER_SECONDS = 1.0


class AsyncGuard:
    """One for each database, for all event loops. Make it by `from_env` or `from_url`, or around a Guard.

    It has as many threads at once as the guard may have connections, and none between calls. Calls beyond that wait
    without a thread; the wait counts in their deadline.
    """

    def __init__(self, guard: Guard, *, scoped_sessions: Sequence[scoped_session[Any]] = ()) -> None:
        """Does not connect.

        scoped_sessions -- of the program's own: what a call leaves in them is removed at its end.
        """
        self.guard = guard
        self._scoped_sessions = tuple(scoped_sessions)
        self._begin_anew()
        _guards.add(self)

    @classmethod
    def from_env(cls, *, scoped_sessions: Sequence[scoped_session[Any]] = ()) -> Self:
        """As Guard.from_env."""
        return cls(Guard.from_env(), scoped_sessions=scoped_sessions)

    @classmethod
    def from_url(
        cls, url: str, *, scoped_sessions: Sequence[scoped_session[Any]] = (), **options: Any
    ) -> Self:
        """As Guard.from_url, with its options."""
        return cls(Guard.from_url(url, **options), scoped_sessions=scoped_sessions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def transact(
        self,
        work: Callable[[Tx], T],
        *,
        key: str | None = None,
        name: str = "transact",
        deadline_seconds: float | None = None,
        isolation: Isolation = "READ COMMITTED",
        policy: Policies = RETRIES,
    ) -> Effect[T]:
        """As Guard.transact. `work` and its `after_commit` hooks run in a thread, in a copy of this task's context.

        Cancelled before COMMIT it is rolled back and not run again; from COMMIT on it is let finish. CancelledError
        rises then. With a key, asking again tells which it was.

            done = await guard.transact(redeem, key=f"redeem-{update_id}", name="shop.redeem")
        """
        require_plain_function(work)
        return await self._call(
            lambda: self.guard.transact(
                work,
                key=key,
                name=name,
                deadline_seconds=deadline_seconds,
                isolation=isolation,
                policy=policy,
            ),
            name=name,
            deadline_seconds=deadline_seconds,
        )

    def session(
        self, *, writes: bool = False, name: str = "session", deadline_seconds: float | None = None
    ) -> SessionThread:
        """As Guard.session, for an `async with` block. Its Session lives in one thread, which is the block's until its
        end, and is used in functions that run there.

            async with guard.session() as session:
                names = await session.run(lambda session: session.scalars(select(User.name)).all())
        """
        seconds = self.guard.deadline_seconds if deadline_seconds is None else deadline_seconds
        open_session = partial(
            self.guard.session, writes=writes, name=name, deadline_seconds=deadline_seconds
        )
        return SessionThread(
            open_session, lambda function: self._start(function, name=name, seconds=seconds, writes=writes)
        )

    @overload
    def read(
        self, *, default: LastKnown, deadline_seconds: float = ..., remember_seconds: float | None = None
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, Awaitable[Known[T]]]]: ...

    @overload
    def read(
        self, *, default: Any, deadline_seconds: float = ...
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, Awaitable[T]]]: ...

    def read(
        self,
        *,
        default: Any,
        deadline_seconds: float = reading.DEADLINE_SECONDS,
        remember_seconds: float | None = None,
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, Awaitable[Any]]]:
        """As Guard.read: decorates a plain function of a Session, which is awaited then. A default that is a function
        is called in the event loop's thread, so it must not wait for anything.

            @guard.read(default=())
            def shop_window(session: Session) -> tuple[str, ...]:
                return tuple(session.scalars(select(Goods.name)))

            names = await shop_window()
        """
        how = Read(default, deadline_seconds, remember_seconds)

        def decorate(function: Callable[Concatenate[Session, P], T]) -> Callable[P, Awaitable[Any]]:
            ask, instead = how.halves(function, self.guard._engine_and_suspicion)

            @functools.wraps(function)
            async def answer(*args: P.args, **kwargs: P.kwargs) -> Any:
                try:
                    self._refuse_suspected()
                    return await self._call(
                        lambda: ask(*args, **kwargs),
                        name=function.__qualname__,
                        deadline_seconds=deadline_seconds,
                        writes=False,
                    )
                except Unavailable as away:
                    return instead(away, *args, **kwargs)

            return answer

        return decorate

    async def run(
        self, function: Callable[[], T], *, name: str = "run", deadline_seconds: float | None = None
    ) -> T:
        """Run a plain function that calls the database in its own way, such as by `bot_safe_…` or `guard.guard`, in one
        of the threads. Use it instead of `asyncio.to_thread`, whose few threads belong to the whole program.

        deadline_seconds -- for all that it asks of a guard, and for the wait for a thread. Default
            DB_DEADLINE_SECONDS.

            outcome = await guard.run(lambda: bot_safe_create_transaction(7, 8, 100, key=key))
        """
        require_plain_function(function)

        def call() -> T:
            value = function()
            require_finished(value)
            return value

        return await self._call(call, name=name, deadline_seconds=deadline_seconds)

    async def close(self) -> None:
        """Wait for the calls that are under way, which their deadlines bound, and close the connections. The next use
        opens new ones.
        """
        jobs = list(self._jobs)

        def close() -> None:
            for job in jobs:
                job.join()
            self.guard.close()

        until = time.monotonic() + self.guard.deadline_seconds
        closing = Job(close, until)
        closing.start()
        await closing.result()

    async def _call(
        self, function: Callable[[], T], *, name: str, deadline_seconds: float | None, writes: bool = True
    ) -> T:
        seconds = self.guard.deadline_seconds if deadline_seconds is None else deadline_seconds
        job = await self._start(function, name=name, seconds=seconds, writes=writes)
        return await job.result()

    async def _start(self, function: Callable[[], T], *, name: str, seconds: float, writes: bool) -> Job[T]:
        """Raises Unavailable where no thread is free in time."""
        until = time.monotonic() + seconds
        made = self.guard._made
        if made is not None:
            refuse_inside_work(made.engine, name)
            if not self._slots.is_free and made.engine.breaker.free_permit is None:
                # Those at work wait for a database that is known not to answer. Nobody need wait for them.
                made.engine.breaker.release(made.engine.admit(writes))
        slots, jobs = self._slots, self._jobs
        try:
            await slots.acquire(until)
        except TimeoutError as error:
            if made is None:
                raise Unavailable(FailureKind.SATURATION, _RETRY_AFTER_SECONDS) from error
            made.engine.give_up(FailureKind.SATURATION, name, error, maybe_applied=False)
        job = Job(partial(self._then_remove_scoped_sessions, function), until)
        jobs.add(job)
        try:
            job.start(slots.release, partial(jobs.discard, job))
        except RuntimeError as error:  # "can't start new thread"
            slots.release()
            jobs.discard(job)
            raise Unavailable(FailureKind.SATURATION, _RETRY_AFTER_SECONDS) from error
        return job

    def _refuse_suspected(self) -> None:
        made = self.guard._made
        if made is not None:
            made.suspicion.refuse_while_open()

    def _then_remove_scoped_sessions(self, function: Callable[[], T]) -> T:
        try:
            return function()
        finally:
            for scoped in self._scoped_sessions:
                scoped.remove()

    def _begin_anew(self) -> None:
        """Also in a forked child, where none of the threads is."""
        self._slots = Slots(self.guard.connections_max)
        self._jobs: set[Job[Any]] = set()


_guards: weakref.WeakSet[AsyncGuard] = weakref.WeakSet()


def _begin_anew() -> None:
    for guard in list(_guards):
        guard._begin_anew()


os.register_at_fork(after_in_child=_begin_anew)


@atexit.register
def _let_calls_end() -> None:
    """The process takes its threads down with it. What can be rolled back is, and a COMMIT is let finish."""
    ends = [(job, job.cancel()) for guard in list(_guards) for job in list(guard._jobs)]
    for job, until in ends:
        job.join(until)
