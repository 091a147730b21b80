"""`Guard.transact`: the caller's work in one real transaction, run again as a whole, exactly once by a key.

    breaker ──▶ connection ──▶ BEGIN, and the key's row ──▶ work(tx) ──▶ the key's row and COMMIT, in one message
       ▲                              │ known: its result            │ failed
       └───── again, as a whole ◀─────┴──────────────────────────────┘ what no retry mends rises

Each attempt has a Session of its own; that of a failed one is rolled back, and its connection given back, before the
wait for the next. With a key every attempt begins by the key's row, so that one whose COMMIT was lost is found. Without
a key nothing is run again once a COMMIT was sent.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Generic, NoReturn, TypeVar

import psycopg2
import structlog
from psycopg2.extensions import TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_INTRANS
from sqlalchemy import Connection
from sqlalchemy.engine.result import Result, ScalarResult
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from dbcore import outbox
from dbcore.errors import UsageError
from dbcore.failures import FailureKind, Phase
from dbcore.guard import effects
from dbcore.guard.attempts import ClassifiedError, Progress, Transactions, driver_of, failure_of
from dbcore.guard.effects import Found, Isolation, Recorded
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.ledger import TransactionLedger
from dbcore.guard.pool import CallConnection, transaction_is_the_guards, unless_held
from dbcore.guard.refusal import Refuse
from dbcore.guard.retries import Policies
from dbcore.outbox import Job
from dbcore.qualified_names import qualified

log = structlog.get_logger(__name__)

T = TypeVar("T")

Record = tuple[str, tuple[Any, ...]]
"""A statement and its parameters, which go out with the COMMIT."""

_REFUSAL_SECONDS_MIN = 0.5
"""A refusal is written down even if the work used up all of its time."""

_at_work: ContextVar[tuple[GuardedEngine, ...]] = ContextVar("at_work", default=())


@dataclass(frozen=True, slots=True)
class Effect(Generic[T]):
    """What a `transact` did.

    value -- what the work returned; with a key, as JSON gives it back: a tuple is a list then.
    replayed -- an earlier call with the same key did it. This one did nothing, and `value` is the first one's.
    """

    value: T
    replayed: bool


class OpenTransaction:
    """What an attempt can do besides moving money. See Tx, and BatchTx in batch.py."""

    def __init__(
        self,
        session: Session,
        connection: Connection,
        schema: str | None,
        announce: Callable[[], object],
    ) -> None:
        self.session = session
        self.connection = connection
        self._schema = schema
        self._announce = announce
        self._hooks: list[Callable[[], object]] = []

    def enqueue(self, job: Job, *, key: str | None = None, user: int | None = None) -> None:
        """Have Ballast's workers do `job` if this transaction commits, and only then: it is a row of the transaction.

        job -- one of Ballast's own, from `ballast.builtin`, or any object with a `kind` and `model_dump_json()`.
        key -- the job's identity, 1 to 64 letters, digits or any of . _ : -. Jobs with the same key are one job, and
            money that it moves has this key in the ledger. Default: each call is a job of its own.
        user -- a Telegram id. Jobs for one user are done one after the other, in the order of their rows. Default: the
            job's own `telegram_id`, if it has one; jobs without a user are done in any order.

        Raises UsageError for what is no job, or without the table `outbox`; ValueError for a bad key.
        """
        telegram_id = getattr(job, "telegram_id", None) if user is None else user
        # The session's, which makes the savepoint of a begin_nested() only when it is asked for its connection.
        outbox.add(self.session.connection(), self._schema, job, key=key, telegram_id=telegram_id)
        if self._announce not in self._hooks:
            self._hooks.append(self._announce)

    def after_commit(self, hook: Callable[[], object]) -> None:
        """Call `hook()` once after this attempt is known to be committed; not for one that is run again, and not for a
        replay. What it raises is logged. The process can die before it: what must not be lost belongs in a row of the
        same transaction.
        """
        self._hooks.append(hook)


class Tx(OpenTransaction):
    """One attempt of a `transact`, for as long as its work runs.

    session -- an ORM Session of its own in the transaction. connection -- the SQLAlchemy Connection under it.
    ledger -- money, in the same transaction.
    """

    def __init__(
        self,
        session: Session,
        connection: Connection,
        ledger: TransactionLedger,
        schema: str | None,
        announce: Callable[[], object],
    ) -> None:
        super().__init__(session, connection, schema, announce)
        self.ledger = ledger


class WorkSession(Session):
    """SQLAlchemy's, but while the work has it, it leaves beginning and ending the transaction to the guard."""

    held = False

    def begin(self, nested: bool = False) -> SessionTransaction:
        if self.held and not nested:
            raise transaction_is_the_guards("begin()")
        return super().begin(nested)

    commit = unless_held(Session.commit)
    rollback = unless_held(Session.rollback)
    prepare = unless_held(Session.prepare)
    close = unless_held(Session.close)
    reset = unless_held(Session.reset)
    invalidate = unless_held(Session.invalidate)


@dataclass(frozen=True, slots=True)
class Transact:
    """One call of `Guard.transact`, over all of its attempts."""

    engine: GuardedEngine
    work: Callable[..., Any]
    keys: tuple[str, ...]
    """One or none. Several are for batch.py."""
    name: str
    isolation: Isolation
    announce: Callable[[], object]
    """Called after a commit with jobs in it."""
    _lost: list[tuple[str, OpenTransaction]]
    """Attempts whose COMMIT was sent and not answered: when they began, and what was to follow."""
    _done: list[OpenTransaction]

    @classmethod
    def run(
        cls,
        engine: GuardedEngine,
        work: Callable[[Tx], Any],
        *,
        key: str | None,
        name: str,
        deadline_seconds: float | None,
        isolation: Isolation,
        policies: Policies,
        announce: Callable[[], object] = outbox.announce,
    ) -> Effect[Any]:
        """See Guard.transact."""
        refuse_inside_work(engine, "transact")
        require_plain_function(work)
        if key is not None:
            effects.require_key(key)
        if isolation not in effects.ISOLATIONS:
            raise ValueError(f"isolation is one of {', '.join(effects.ISOLATIONS)}, got {isolation!r}")
        keys = () if key is None else (key,)
        self = cls(engine, work, keys, name[: effects.NAME_LENGTH_MAX], isolation, announce, [], [])
        effect: Effect[Any] = self.run_attempts(deadline_seconds, policies)
        return effect

    def run_attempts(self, deadline_seconds: float | None, policies: Policies) -> Any:
        """The result of the attempt that took effect, or of an earlier call."""
        seconds = self.engine.deadline_seconds if deadline_seconds is None else deadline_seconds
        until = time.monotonic() + seconds
        try:
            result = self.engine.run(
                self._attempt,
                name=self.name,
                replayable=bool(self.keys),
                writes=True,
                deadline_seconds=deadline_seconds,
                policies=policies,
            )
        except Refuse as refuse:
            if len(self.keys) != 1 or refuse.replayed:  # of several nobody knows which one is refused
                raise
            left = max(_REFUSAL_SECONDS_MIN, until - time.monotonic())
            recorded = effects.record_refusal(
                self.engine,
                key=self.keys[0],
                name=self.name,
                refused=refuse.as_json(),
                deadline_seconds=left,
            )
            if recorded.refused == refuse.as_json() and recorded.name == self.name:
                raise
            result = self.known(Found("", (recorded,)))
        for tx in self._done:
            _call_hooks(tx._hooks)
        return result

    def _attempt(self, progress: Progress) -> Any:
        begun = False

        def opener() -> str:
            nonlocal begun
            if begun:
                raise UsageError(
                    "the transaction of this work is over because a statement of it failed: put what may fail inside "
                    "begin_nested(), or let the error rise"
                )
            begun = True
            return effects.begin(self.isolation, progress.until - time.monotonic())

        call = Transactions()
        with self.engine.connected(call, progress) as connection:
            assert isinstance(connection, CallConnection)  # noqa: S101  the guarded pool's class
            session = WorkSession(connection, expire_on_commit=False)
            try:
                if progress.maybe_applied and self.isolation != "READ COMMITTED":
                    self._settle(connection, progress)
                driver_of(connection).opener = opener
                session.connection()  # joins what is done on the connection
                found = self._look_up(connection, progress)
                known = self.known(found)
                if known is not None:
                    return known
                tx = self.make_tx(session, connection, found)
                value = self._run_work(tx, connection, found)
                session.flush()
                result, record = self.kept(value, found)
                self._require_open_transaction(tx, call)
                self._commit(tx, found.began, record, call)
                return result
            finally:
                # Rolled back and not only closed: what the work added can be added to the next attempt's.
                with suppress(SQLAlchemyError, UsageError):
                    session.rollback()
                with suppress(SQLAlchemyError, UsageError):
                    session.close()

    def known(self, found: Found) -> Any:
        """What the call is answered with if nothing is left to do; None if something is."""
        return self.answer_of(self.keys[0], found.recorded[0]) if any(found.recorded) else None

    def make_tx(self, session: Session, connection: Connection, found: Found) -> OpenTransaction:
        """What the work gets."""
        key = self.keys[0] if self.keys else None
        ledger = TransactionLedger(
            session, self.engine.currencies, self.engine.schema, key=key, actor=self.name
        )
        return Tx(session, connection, ledger, self.engine.schema, self.announce)

    def call_work(self, tx: Any, found: Found) -> Any:
        return self.work(tx)

    def kept(self, value: Any, found: Found) -> tuple[Any, Record | None]:
        """The call's result, and the statement that keeps it."""
        if not self.keys:
            return Effect(value, replayed=False), None
        written = effects.as_json(value)
        record = (
            qualified(effects.RECORD, self.engine.schema),
            (found.began, self.keys[0], self.name, written),
        )
        return Effect(json.loads(written), replayed=False), record

    def _settle(self, connection: Connection, progress: Progress) -> None:
        """Wait for the end of a lost attempt, so that the transaction's own look at the key, by a snapshot that is made
        when it begins, sees what came of it.
        """
        remaining = progress.until - time.monotonic()
        question = effects.look_up_alone(self.keys[0], remaining, self.engine.schema)
        _ask(connection, *question, schema=self.engine.schema)
        progress.maybe_applied = False

    def _look_up(self, connection: Connection, progress: Progress) -> Found:
        if not self.keys:
            return Found("", ())
        schema = self.engine.schema
        # Sorted, so that two calls with keys in common never wait for each other in a circle.
        ordered = sorted(self.keys)
        rows = dict(
            zip(ordered, _ask(connection, *effects.look_up(ordered, schema), schema=schema), strict=True)
        )
        if self.isolation == "READ COMMITTED":
            progress.maybe_applied = False  # it is known now, whatever came of attempts before
        return effects.found([rows[key] for key in self.keys])

    def answer_of(self, key: str, recorded: Recorded | None) -> Effect[Any]:
        """Of a key that is known."""
        assert recorded is not None  # noqa: S101  the caller looked
        for began, tx in self._lost:
            if began == recorded.created:
                if tx not in self._done:
                    self._done.append(tx)
                return Effect(json.loads(recorded.result or "null"), replayed=False)
        if recorded.name != self.name:
            raise UsageError(
                f"the key {key!r} belongs to {recorded.name!r}, and cannot be one of {self.name!r} too"
            )
        if recorded.refused is not None:
            raise Refuse.from_json(recorded.refused)
        return Effect(json.loads(recorded.result or "null"), replayed=True)

    def _run_work(self, tx: OpenTransaction, connection: CallConnection, found: Found) -> Any:
        assert isinstance(tx.session, WorkSession)  # noqa: S101
        token = _at_work.set((*_at_work.get(), self.engine))
        tx.session.held = connection.held = True
        driver = driver_of(connection)
        driver.refuse_end = _refuse_end
        try:
            value = self.call_work(tx, found)
        finally:
            driver.refuse_end = None
            tx.session.held = connection.held = False
            _at_work.reset(token)
        require_finished(value)
        return value

    def _require_open_transaction(self, tx: OpenTransaction, call: Transactions) -> None:
        """Raises ClassifiedError or UsageError if the transaction cannot be committed any more, and the work returned
        anyway.
        """
        driver = driver_of(tx.connection)
        status = driver.get_transaction_status()
        if status == TRANSACTION_STATUS_INERROR or not tx.session.is_active:
            if call.failed is not None:  # what a retry mends
                raise call.failed from call.failed.__cause__
            raise UsageError(
                "a statement of the work failed and the work went on, so nothing was committed: put what may fail "
                "inside begin_nested(), or let the error rise"
            )
        if status != TRANSACTION_STATUS_INTRANS and driver.opened_by_hand:
            raise _ended_by_the_work()

    def _commit(self, tx: OpenTransaction, began: str, record: Record | None, call: Transactions) -> None:
        driver = driver_of(tx.connection)
        driver.commit_by = record
        commits = driver.commits
        try:
            tx.session.commit()
        except Exception as error:
            if driver.commits > commits:
                # A listener of the caller's own, after the fact.
                log.exception("after_commit_failed", operation=self.name)
            elif isinstance(error, IntegrityError) and _constraint(error) == "effects_pkey":
                failed = ClassifiedError(
                    FailureKind.CONFLICT, Phase.COMMIT, maybe_applied=False, disconnect=False
                )
                raise failed from error.orig
            elif isinstance(error, IntegrityError) and _is_about_key(error):
                raise _ended_by_the_work() from error
            else:
                if call.kept:
                    self._lost.append((began, tx))
                raise
        self._done.append(tx)


def _ask(
    connection: Connection, statement: str, parameters: tuple[Any, ...], *, schema: str | None
) -> list[Any]:
    """The rows of a question about keys, by the driver's cursor, which takes half the time. Raises ClassifiedError."""
    driver = driver_of(connection)
    try:
        with driver.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows: list[Any] = cursor.fetchall()
    except psycopg2.Error as error:
        if error.pgcode in {"42P01", "42883", "3F000"}:
            raise UsageError(
                f"a key needs the table effects, which {_where(schema)} does not have: `python -m dbcore migrate` "
                "makes it. If Ballast's tables are in another schema, name it: BALLAST_SCHEMA, or "
                "Guard.from_url(..., schema=...)"
            ) from error
        if error.pgcode == "55P03":
            # Somebody is at work under this key, perhaps a lost attempt of this very call.
            failed = ClassifiedError(FailureKind.CONFLICT, Phase.QUERY, maybe_applied=False, disconnect=False)
            failed.final = True
            raise failed from error
        known = failure_of(error, Phase.QUERY)
        if known is None:
            raise
        if known.disconnect:
            connection.invalidate(error)
        known.maybe_applied = False
        if known.kind is FailureKind.UNKNOWN_OUTCOME:
            known.kind = FailureKind.OUTAGE
        raise known from error
    driver.keeps_session = True  # it was all LOCAL
    return rows


def _where(schema: str | None) -> str:
    return "the schema that this role finds first" if schema is None else f"the schema {schema}"


def _refuse_end(statement: str) -> NoReturn:
    raise transaction_is_the_guards(repr(statement.strip()[:40]))


def _constraint(error: DBAPIError) -> str | None:
    diagnostics = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def _is_about_key(error: DBAPIError) -> bool:
    diagnostics = getattr(error.orig, "diag", None)
    return (getattr(diagnostics, "table_name", None), getattr(diagnostics, "column_name", None)) == (
        "effects",
        "key",
    )


def _ended_by_the_work() -> UsageError:
    return UsageError(
        "the work ended its transaction by a statement of its own (COMMIT, ROLLBACK): what was committed stays, and "
        "nothing of it was recorded under a key. Leave it out: the guard commits when the work returns"
    )


def refuse_inside_work(engine: GuardedEngine, what: str) -> None:
    """Raises UsageError inside the work of a `transact` on the same database, which has a connection already."""
    if engine in _at_work.get():
        raise UsageError(
            f"{what} inside the work of transact: it would need a second connection, and see nothing of the first "
            "one's changes. Use the tx that the work has; of a function made by guard.read, call "
            "`function.__wrapped__(tx.session, ...)`"
        )


def require_plain_function(function: Callable[..., Any]) -> None:
    """Raises TypeError for coroutine and generator functions, whose body would run after the transaction."""
    called = getattr(function, "func", function)  # a partial's
    for candidate in (called, getattr(called, "__call__", None)):  # noqa: B004  an object's own method
        if inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise TypeError(
                "expected a plain function, got a coroutine function; AsyncGuard runs plain ones, too"
            )
        if inspect.isgeneratorfunction(candidate):
            raise TypeError("expected a plain function, got a generator function; return a list instead")


def require_finished(value: Any) -> None:
    """Raises UsageError for a result that is still to be fetched, TypeError for one still to be awaited."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("expected a result, got an awaitable: nothing inside can be awaited")
    if isinstance(value, Result | ScalarResult | GeneratorType):
        _refuse_lazy(value)


def _refuse_lazy(value: Any) -> NoReturn:
    raise UsageError(
        f"a {type(value).__name__} cannot be read after the transaction: return what is in it, such as by .all()"
    )


def _call_hooks(hooks: list[Callable[[], object]]) -> None:
    for hook in hooks:
        try:
            hook()
        except Exception:  # of the caller's own code; the transaction is committed all the same
            log.exception("after_commit_failed")
