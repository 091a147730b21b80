"""`AsyncGuard.session`: a Session that lives in one thread, for the functions that its task sends there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import event
from sqlalchemy.orm import Session

from dbcore.errors import UsageError
from dbcore.guard.threads import Job, Reply
from dbcore.guard.transaction import require_finished, require_plain_function

T = TypeVar("T")


class _Question:
    """A function for the Session, and where its answer is awaited."""

    def __init__(self, function: Callable[[Session], Any]) -> None:
        self._function = function
        self._context = copy_context()
        self.reply: Reply[Any] = Reply()

    def answer(self, session: Session) -> None:
        """In the thread. Raises what is not an Exception, which is the end of the block."""
        try:
            value = self._context.run(self._function, session)
            require_finished(value)
        except Exception as error:  # noqa: BLE001  rises in the task
            self.reply.fail(error)
        else:
            self.reply.give(value)


class _Leave:
    """The block ends, by this error or well."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class SessionThread:
    """What `async with guard.session()` gives."""

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        start: Callable[[Callable[[], None]], Awaitable[Job[None]]],
    ) -> None:
        self._open_session = open_session
        self._start = start
        self._inbox: SimpleQueue[_Question | _Leave] = SimpleQueue()
        self._job: Job[None] | None = None
        self._is_busy = False

    async def __aenter__(self) -> Self:
        opened: Reply[None] = Reply()
        self._job = await self._start(lambda: self._serve(opened))
        await self._answer_to(opened)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._job is not None  # noqa: S101  entered
        self._inbox.put(_Leave(error))
        try:
            await self._job.result()
        except asyncio.CancelledError:
            if not isinstance(error, asyncio.CancelledError):
                raise
        except BaseException as risen:
            if risen is not error:
                raise

    async def run(self, function: Callable[[Session], T]) -> T:
        """What `function(session)` returns, called in the session's thread; one after another.

        Objects that it returns keep the attributes that were loaded. Loading more of them needs another `run`.
        """
        require_plain_function(function)
        if self._job is None or self._job.ended.done():
            raise UsageError("this session is not open: use it inside its `async with` block")
        if self._is_busy:
            raise UsageError(
                "a session runs one function at a time: await the one before, or open another session"
            )
        question = _Question(function)
        self._is_busy = True
        try:
            self._inbox.put(question)
            answer: T = await self._answer_to(question.reply)
            return answer
        finally:
            self._is_busy = False

    async def _answer_to(self, reply: Reply[T]) -> T:
        assert self._job is not None  # noqa: S101
        try:
            await asyncio.wait([reply.given, self._job.ended], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as cancelled:
            self._inbox.put(_Leave(cancelled))
            await self._job.drain()
            raise
        if not reply.given.done():
            await self._job.result()  # raises why it ended
        return reply.taken()

    def _serve(self, opened: Reply[None]) -> None:
        """The thread's part."""
        thread = threading.get_ident()

        def require_thread(_state: object) -> None:
            if threading.get_ident() != thread:
                raise UsageError(
                    "this would wait for the database in the event loop's thread: load what is needed inside "
                    "`await session.run(...)`, such as by selectinload"
                )

        with self._open_session() as session:
            event.listen(session, "do_orm_execute", require_thread)
            opened.give(None)
            while isinstance(message := self._inbox.get(), _Question):
                message.answer(session)
                del message  # it may be the last to hold what was loaded
            if message.error is not None:
                raise message.error
