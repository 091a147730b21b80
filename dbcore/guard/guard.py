"""`Guard`: the database of a program, for code that its authors write with SQLAlchemy.

    guard = Guard.from_env()
    done = guard.transact(pay_out, key=f"redeem-{update_id}", name="shop.redeem")

Connects when it is first used. One for each database, for all threads. In a forked child it makes connections of its
own, and leaves its parent's alone.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

import redis
import structlog
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from dbcore import outbox
from dbcore.breaker.local import Breaker
from dbcore.breaker.membership import join
from dbcore.breaker.process_names import name_of_this_process
from dbcore.breaker.sync import BreakerSync
from dbcore.guard import reading
from dbcore.guard.attached import Attachment, attach_engine
from dbcore.guard.effects import Isolation
from dbcore.guard.engine import GuardedEngine
from dbcore.guard.reading import Known, Read, Suspicion
from dbcore.guard.retries import RETRIES, Policies
from dbcore.guard.session import session
from dbcore.guard.transaction import Effect, Transact, Tx
from dbcore.last_known import LastKnown
from dbcore.ledger.balance_cache import BalanceCache, BalanceSnapshot
from dbcore.redis_client import connect_redis
from dbcore.settings import Settings, SettingsError, load_settings

log = structlog.get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")


class _Given(Settings):
    """Options from code alone: the environment belongs to the program around."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class FleetMember:
    """What a guard has of the fleet, with Redis."""

    link: BreakerSync
    balances: BalanceCache

    def note(self, *balances: BalanceSnapshot, since: float) -> None:
        """Tell the fleet what balances are now. Redis that is known to be unavailable is not waited for: the bot then
        tells older ones, with their time.

        since -- when the call that answered them began, by time.monotonic.
        """
        if not balances or not self.link.is_connected:
            return
        try:
            self.balances.note(*balances, ago_seconds=time.monotonic() - since)
        except redis.RedisError as error:
            log.warning("balances_not_noted", error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a guard is made of in one process."""

    engine: GuardedEngine
    suspicion: Suspicion
    fleet: FleetMember | None


class Guard:
    """Make it by `from_env` or `from_url`."""

    def __init__(self, settings: Settings, *, application_name: str = "ballast guard") -> None:
        """Does not connect. With `settings.redis_url` it joins the fleet's breaker at its first use."""
        settings.require("database_url")
        self._settings = settings
        self._application_name = application_name
        self._lock = threading.Lock()
        self._made: _Made | None = None
        self._attachments: weakref.WeakSet[Attachment] = weakref.WeakSet()
        self._of_parents: list[_Made] = []  # kept, so that nothing closes their sockets here
        _guards.add(self)

    @classmethod
    def from_env(cls) -> Self:
        """By the environment and `.env`, as docs/settings.md says: DATABASE_URL, DB_POOL_SIZE, DB_DEADLINE_SECONDS
        and so on. With REDIS_URL it is one of Ballast's fleet: they share one breaker and one budget of connections.

        Raises SettingsError if DATABASE_URL is missing or an option is wrong.
        """
        return cls(load_settings())

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        pool_size: int = 3,
        max_overflow: int = 5,
        deadline_seconds: float = 5.0,
        currency: str = "CREDIT",
        schema: str | None = None,
        application_name: str = "ballast guard",
    ) -> Self:
        """By these values alone; reads no environment, and needs nothing but PostgreSQL.

        url -- `postgresql://…`, or as SQLAlchemy writes it for any driver. pool_size, max_overflow -- connections that
        are kept, and beyond those. deadline_seconds -- for all of an operation, unless it says otherwise. currency --
        of `tx.ledger`. schema -- where Ballast's tables are, as BALLAST_SCHEMA says; for keys and `tx.ledger`.
        application_name -- as PostgreSQL shows it.

        Raises SettingsError for what these cannot be.
        """
        try:
            settings = _Given(
                database_url=SecretStr(url),
                db_pool_size=pool_size,
                db_max_overflow=max_overflow,
                db_deadline_seconds=deadline_seconds,
                currency=currency,
                ballast_schema=schema,
            )
        except ValidationError as error:
            lines = [f"{item['loc'][0] if item['loc'] else 'url'}: {item['msg']}" for item in error.errors()]
            raise SettingsError("\n".join(lines)) from None
        return cls(settings, application_name=application_name)

    @property
    def deadline_seconds(self) -> float:
        """For an operation that says nothing else."""
        return self._settings.db_deadline_seconds

    @property
    def connections_max(self) -> int:
        """How many connections it may have in this process."""
        return self._settings.db_pool_size + self._settings.db_max_overflow

    @property
    def engine(self) -> GuardedEngine:
        """This process's engine: for the functions of `dbcore.ledger`, and its `snapshot()`."""
        return self._here().engine

    @property
    def breaker(self) -> Breaker:
        """This process's breaker: its `snapshot()`, and `force_open()`, `disable()` and `reset()`."""
        return self.engine.breaker

    @property
    def fleet(self) -> FleetMember | None:
        """Its part in the fleet; None without REDIS_URL."""
        return self._here().fleet

    def transact(
        self,
        work: Callable[[Tx], T],
        *,
        key: str | None = None,
        name: str = "transact",
        deadline_seconds: float | None = None,
        isolation: Isolation = "READ COMMITTED",
        policy: Policies = RETRIES,
    ) -> Effect[T]:
        """Run `work(tx)` in one transaction, committed when it returns and rolled back when it raises. It is run again
        as a whole after what a retry can mend: a conflict, a lost connection, a restart of the server. So whatever it
        does outside the database happens once an attempt; put that into `tx.after_commit`.

        key -- names this one request, such as `f"redeem-{update_id}"`, up to 190 characters. With it the work takes
            effect exactly once, however often it is asked for and even if the answer to COMMIT is lost; what it
            returned, or its Refuse, is recorded with it and answered to every repetition. It returns what JSON can
            hold, then. Needs the table `effects` (`python -m dbcore migrate`). Without a key it is never run again
            once a COMMIT was sent.
        name -- of the operation, for the log and for the key: one key cannot be two operations. Give each its own:
            those that share a name, the default one too, cannot be told apart by it.
        deadline_seconds -- for everything: waiting for a connection, attempts, waits between them. Default
            DB_DEADLINE_SECONDS.
        isolation -- READ COMMITTED, REPEATABLE READ or SERIALIZABLE.
        policy -- how often what may be run again, and after which waits: RetryPolicy, or one for each FailureKind.

        Raises Unavailable if nothing was applied, OutcomeUnknown if it may have been (with a key: ask again with it),
        Refuse as the work did, UsageError and TypeError for what cannot work, ValueError for a bad key. Other errors of
        the work rise as they are, those of its SQL as SQLAlchemy's.

            def redeem(tx: Tx) -> int:
                code = tx.session.scalars(select(Code).where(Code.text == text).with_for_update()).one()
                if code.uses == code.uses_max:
                    raise Refuse("That code is used up.")
                code.uses += 1
                return tx.ledger.credit(user, code.minor, memo=f"Code {text}").balance_after

            done = guard.transact(redeem, key=f"redeem-{update_id}", name="shop.redeem")
            print(done.value, done.replayed)
        """
        return Transact.run(
            self.engine,
            work,
            key=key,
            name=name,
            deadline_seconds=deadline_seconds,
            isolation=isolation,
            policies=policy,
            announce=self._announce_jobs,
        )

    def session(
        self, *, writes: bool = False, name: str = "session", deadline_seconds: float | None = None
    ) -> AbstractContextManager[Session]:
        """An ORM Session for the `with` block, on one connection. `begin()`, `commit()`, `rollback()` and savepoints do
        what they say; what is open at the end is committed, or rolled back if the block raises. Lazy loading works
        inside the block. Its body runs once.

        writes -- False: READ ONLY transactions, in which the server refuses to write.
        name -- for the log.
        deadline_seconds -- for the whole block. Default DB_DEADLINE_SECONDS.

        Inside the block errors are SQLAlchemy's. What leaves it is Unavailable (nothing was applied) or OutcomeUnknown
        (something may have been) if the database gave no answer; errors of the statements themselves stay SQLAlchemy's.

            with guard.session() as session:
                names = session.scalars(select(User.name)).all()
        """
        return session(self.engine, writes=writes, name=name, deadline_seconds=deadline_seconds)

    @overload
    def read(
        self, *, default: LastKnown, deadline_seconds: float = ..., remember_seconds: float | None = None
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, Known[T]]]: ...

    @overload
    def read(
        self, *, default: Any, deadline_seconds: float = ...
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, T]]: ...

    def read(
        self,
        *,
        default: Any,
        deadline_seconds: float = reading.DEADLINE_SECONDS,
        remember_seconds: float | None = None,
    ) -> Callable[[Callable[Concatenate[Session, P], T]], Callable[P, Any]]:
        """Decorates a function of a Session that reads: it is called without the Session, in a READ ONLY transaction,
        and answers by the default while the database does not. Bugs, such as a misspelt column, rise.

        default -- a value, of which every caller gets a copy; a function, which gets the arguments of the call; or
            LAST_KNOWN: the answer is a Known then, the last one that this process read for the same arguments. Nothing
            known: Unavailable rises.
        deadline_seconds -- for all of it. Short, so that a page does not wait for a frozen server: after the first read
            that overran it, others get the default at once until the server answers a probe.
        remember_seconds -- how old a last known answer may be. Default: any age, as long as the process lives, for up
            to 1,000 sets of arguments.

        Raises TypeError for coroutine and generator functions, UsageError for a result that is still to be fetched.

            @guard.read(default=())
            def shop_window(session: Session) -> tuple[str, ...]:
                return tuple(session.scalars(select(Goods.name)))

            names = shop_window()
        """
        how = Read(default, deadline_seconds, remember_seconds)

        def decorate(function: Callable[Concatenate[Session, P], T]) -> Callable[P, Any]:
            return how.guarding(function, self._engine_and_suspicion)

        return decorate

    def attach(
        self, engine: Engine, *, statement_seconds: float = 10.0, connect_seconds: float = 5.0
    ) -> None:
        """Guard an engine of your own on the same server (psycopg2). The code that uses it stays as it is: it gets this
        guard's breaker, a deadline for each statement, and errors that are SQLAlchemy's and Unavailable or
        OutcomeUnknown. Attaching twice changes nothing, the seconds included. The engine keeps its own pool, which
        `close` leaves alone; it keeps the breaker, too, until the guard is used again and has a new one.

        statement_seconds -- for each statement, COMMIT and ROLLBACK, and each piece of a stream.
        connect_seconds -- for a new connection.

        Does not connect. Raises UsageError for an engine that cannot be guarded or goes by another breaker.

            guard.attach(engine)
            with Session(engine) as session:        # as before
                names = session.scalars(select(User.name)).all()
        """
        attachment = attach_engine(
            engine,
            breaker=self._breaker_here,
            statement_seconds=statement_seconds,
            connect_seconds=connect_seconds,
        )
        with self._lock:
            self._attachments.add(attachment)

    def _breaker_here(self) -> Breaker:
        """For an attached engine, which asks again in a forked child, and after the guard was closed and used again."""
        return self.engine.breaker

    def close(self) -> None:
        """Close its connections. The next use opens new ones, with a new breaker."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            if made.fleet is not None:
                made.fleet.link.stop()
            made.engine.dispose()

    def _announce_jobs(self) -> None:
        fleet = self._here().fleet
        if fleet is not None:
            fleet.link.note_jobs()
        outbox.announce()

    def _engine_and_suspicion(self) -> tuple[GuardedEngine, Suspicion]:
        made = self._here()
        return made.engine, made.suspicion

    def _here(self) -> _Made:
        made = self._made
        if made is not None:
            return made
        with self._lock:
            if self._made is None:
                self._made = self._make()
                for attachment in self._attachments:
                    attachment.ask_for_breaker()  # of one that was closed it has the old one
            return self._made

    def _make(self) -> _Made:
        settings, name = self._settings, self._application_name
        if settings.redis_url is None:
            engine = GuardedEngine(settings, application_name=name)
            return _Made(engine, Suspicion(engine), None)
        client = connect_redis(settings)
        engine, link = join(settings, client, name_of_this_process(), application_name=name)
        link.start()
        return _Made(engine, Suspicion(engine), FleetMember(link, BalanceCache(client)))

    def _leave_parent(self) -> None:
        """In a forked child: threads and locks did not come along, and the sockets are the parent's."""
        self._lock = threading.Lock()
        if self._made is not None:
            self._of_parents.append(self._made)
        self._made = None


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()


def _leave_parents() -> None:
    for guard in list(_guards):
        guard._leave_parent()


os.register_at_fork(after_in_child=_leave_parents)
