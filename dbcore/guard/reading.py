"""`Guard.read`: a function that answers by a default while the database does not.

The default is for the absence of an answer: an outage, a saturated or slow server, an open breaker. What the database
answers with an error is a bug, and rises.

A read that overran its short deadline says little: the query may be slow, or the server frozen. So one probe follows,
in a thread of its own, and until it is answered reads get their default at once. If it fails, the breaker opens.
"""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import structlog
from sqlalchemy.orm import Session

from dbcore.errors import Unavailable, UsageError
from dbcore.failures import FailureKind
from dbcore.guard import effects
from dbcore.guard.attempts import Progress, Transactions
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.transaction import refuse_inside_work, require_finished, require_plain_function
from dbcore.last_known import LAST_KNOWN

log = structlog.get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

DEADLINE_SECONDS = 0.5
REMEMBERED_MAX = 1_000
"""Answers that a function with LAST_KNOWN remembers, one for each set of arguments; the ones not used longest go."""

_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An answer of a read with LAST_KNOWN.

    as_of -- None: read just now. Otherwise when it was read, in UTC: the database did not answer this time.
    """

    value: T
    as_of: datetime | None


class Suspicion:
    """Whether the database of an engine has stopped answering, while that is being found out."""

    def __init__(self, engine: GuardedEngine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self.is_open = False
        """A probe is under way."""

    def refuse_while_open(self) -> None:
        """Raises Unavailable."""
        if self.is_open:
            raise Unavailable(FailureKind.SLOW, _RETRY_AFTER_SECONDS)

    def raise_it(self) -> None:
        """Find out, without waiting for it."""
        with self._lock:
            if self.is_open or self._engine.breaker.free_permit is None:
                return
            self.is_open = True
        try:
            threading.Thread(target=self._probe, name="database-suspicion", daemon=True).start()
        except RuntimeError:  # no thread to be had; the breaker judges by the calls
            self.is_open = False

    def _probe(self) -> None:
        try:
            permit = self._engine.breaker.free_permit
            kind = self._engine.probe(writes=False)
            if kind is not None and permit is not None:
                self._engine.breaker.failed(permit, kind, trips_at_once=True)
        finally:
            self.is_open = False


class _Memory:
    """The last answers of one function."""

    def __init__(self, remember_seconds: float | None) -> None:
        self._remember_seconds = remember_seconds
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[Any, datetime, float]] = OrderedDict()

    def note(self, asked: Hashable, value: Any) -> None:
        kept = copy.deepcopy(value)
        with self._lock:
            self._answers[asked] = kept, datetime.now(UTC), time.monotonic()
            self._answers.move_to_end(asked)
            while len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)

    def recall(self, asked: Hashable) -> Known[Any] | None:
        with self._lock:
            found = self._answers.get(asked)
        if found is None:
            return None
        value, as_of, at = found
        if self._remember_seconds is not None and time.monotonic() - at > self._remember_seconds:
            return None
        return Known(copy.deepcopy(value), as_of)


@dataclass(frozen=True, slots=True)
class Read:
    """What `Guard.read` was called with."""

    default: Any
    deadline_seconds: float
    remember_seconds: float | None

    def guarding(
        self,
        function: Callable[Concatenate[Session, P], T],
        engine_of: Callable[[], tuple[GuardedEngine, Suspicion]],
    ) -> Callable[P, Any]:
        """The function without its first argument, guarded.

        engine_of -- this process's engine, asked at each call.
        """
        ask, instead = self.halves(function, engine_of)

        @functools.wraps(function)
        def answer(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return ask(*args, **kwargs)
            except Unavailable as away:
                return instead(away, *args, **kwargs)

        return answer

    def halves(
        self,
        function: Callable[Concatenate[Session, P], T],
        engine_of: Callable[[], tuple[GuardedEngine, Suspicion]],
    ) -> tuple[Callable[P, Any], Callable[Concatenate[Unavailable, P], Any]]:
        """The same in two: what asks the database, and what stands in for its answer after an Unavailable, without I/O.
        Both may raise it.
        """
        require_plain_function(function)
        memory = _Memory(self.remember_seconds) if self.default is LAST_KNOWN else None

        def ask(*args: P.args, **kwargs: P.kwargs) -> Any:
            engine, suspicion = engine_of()
            refuse_inside_work(engine, "guard.read")
            asked = _asked(args, kwargs) if memory is not None else None
            suspicion.refuse_while_open()
            try:
                value = self._ask(engine, function, *args, **kwargs)
            except Unavailable as away:
                if away.kind in _OVERRAN and not _is_our_mistake(away):
                    suspicion.raise_it()
                raise
            if memory is None:
                return value
            memory.note(asked, value)
            return Known(value, None)

        def instead(away: Unavailable, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            if _is_our_mistake(away):
                raise away
            if memory is None:
                return self._default(args, kwargs)
            known = memory.recall(_asked(args, kwargs))
            if known is None:
                raise away
            return known

        return ask, instead

    def _default(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.default(*args, **kwargs) if callable(self.default) else copy.deepcopy(self.default)

    def _ask(
        self,
        engine: GuardedEngine,
        function: Callable[Concatenate[Session, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def attempt(progress: Progress) -> T:
            def opener() -> str:
                return effects.begin("READ COMMITTED", progress.until - time.monotonic(), read_only=True)

            with (
                engine.connected(Transactions(read_only=True), progress, opener) as connection,
                Session(connection, expire_on_commit=False) as session,
            ):
                value = function(session, *args, **kwargs)
                require_finished(value)
                session.commit()
            return value

        return engine.run(
            attempt,
            name=function.__qualname__,
            replayable=True,
            writes=False,
            deadline_seconds=self.deadline_seconds,
        )


_OVERRAN = frozenset({FailureKind.SLOW, FailureKind.OUTAGE})


def _is_our_mistake(away: Unavailable) -> bool:
    """A right that this program's role was not granted does not come by waiting."""
    return getattr(away.__cause__, "pgcode", None) == "42501"


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    asked = args, tuple(sorted(kwargs.items()))
    try:
        hash(asked)
    except TypeError as error:
        raise UsageError(
            f"LAST_KNOWN remembers answers by the arguments, which must be hashable: {error}"
        ) from error
    return asked
