"""Nobody writes to the old database, for as long as its holder lives.

A transaction locks every table in SHARE ROW EXCLUSIVE mode: reading and pg_dump go on, writing waits. The lock is the
lease: it ends with the connection, so with kill -9 of the holder at once, and where the holder is frozen or cut off by
idle_in_transaction_session_timeout, which the server itself keeps. Processes wait for nothing meanwhile, because the
fleet's breaker is held too; the lock is for those that did not hear of it.

The same transaction makes the notice and the triggers (notice.py), so its COMMIT is the one moment at which the old
database stops to be in charge. Before it, whatever dies, the old one is; after it, the new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from dbcore.guard import pool
from dbcore.moving import notice, whereabouts
from dbcore.moving.errors import HoldLost, MoveFailed
from dbcore.moving.notice import Notice
from dbcore.sentences import sentence

log = structlog.get_logger(__name__)

NAME = "ballast move"

HELD_SECONDS = 15
"""So long after its holder was last heard the server ends the hold."""

SAY_SO_SECONDS = 1.0

GRACE_SECONDS = 5.0
"""Transactions that are under way may take so long to end by themselves. Then their sessions are ended."""

TRIES_SECONDS_MAX = 30.0
_TRY_MS = 1_500
"""More than deadlock_timeout, after which an autovacuum makes way."""

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_has_role(c.relowner, 'USAGE')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
   AND n.nspname <> 'information_schema'
   AND (CAST(:schemas AS text[]) IS NULL OR n.nspname = ANY(CAST(:schemas AS text[])))
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1
"""
_END_BLOCKERS = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND usename = current_user
   AND pid NOT IN (pg_backend_pid(), :ours)
   AND pid IN (SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE l.locktype = 'relation' AND l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
                  AND format('%I.%I', n.nspname, c.relname) = ANY(:tables))
"""
_END_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
   AND usename = current_user AND application_name <> 'ballast move'
"""


def tables_of(connection: Connection, schemas: Sequence[str]) -> dict[str, bool]:
    """Each table that is moved, quoted with its schema, and whether this role may lock it and give it a trigger.

    schemas -- BACKUP_SCHEMAS; empty: all.
    """
    rows = connection.execute(text(_TABLES), {"schemas": list(schemas) or None}).all()
    return {row[0]: row[1] for row in rows}


class Hold:
    """The transaction. Made by `held`."""

    def __init__(self, connection: Connection, url: str, tables: Sequence[str]) -> None:
        self._connection = connection
        self._url = url
        self._tables = tables
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._lost: BaseException | None = None

    def take(self) -> None:
        """Wait for the transactions that write, and let no other begin. Raises MoveFailed."""
        # A provider that makes a full database read-only does so by a default.
        self._connection.exec_driver_sql("SET TRANSACTION READ WRITE")
        ours = self._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        for limit, value in (
            ("statement_timeout", "0"),
            ("transaction_timeout", "0"),
            ("idle_in_transaction_session_timeout", f"{HELD_SECONDS}s"),
        ):
            with (
                suppress(DBAPIError),
                self._connection.begin_nested(),
            ):  # PostgreSQL 16 has no transaction_timeout
                self._connection.execute(
                    text("SELECT set_config(:name, :value, true)"), {"name": limit, "value": value}
                )
        began = time.monotonic()
        while not self._locked():
            waited = time.monotonic() - began
            if waited > TRIES_SECONDS_MAX:
                raise MoveFailed(
                    sentence(
                        "after {seconds} s others still write to the database: end them, and start again",
                        seconds=round(waited),
                    )
                )
            if waited > GRACE_SECONDS:
                self._end_blockers(ours)

    def _locked(self) -> bool:
        self._connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_TRY_MS}")
        try:
            with self._connection.begin_nested():
                for table in self._tables:
                    self._connection.exec_driver_sql(
                        f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE",
                        execution_options={"no_parameters": True},
                    )
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) in {"55P03", "40P01"}:  # not in time; or a deadlock
                return False
            raise
        return True

    def _end_blockers(self, ours: int) -> None:
        engine = pool.single(self._url, application_name=NAME)
        with whereabouts.as_given(), engine.connect() as connection:
            ended = connection.execute(
                text(_END_BLOCKERS), {"ours": ours, "tables": list(self._tables)}
            ).all()
        for pid, _ in ended:
            log.warning("move_session_ended", pid=pid, meaning="it held a transaction open for too long")

    def say_so(self) -> None:
        """Until `stop`: let the server know that its holder lives."""
        while not self._stopped.wait(SAY_SO_SECONDS):
            try:
                with self._lock:
                    if self._stopped.is_set():
                        return
                    self._connection.exec_driver_sql("SELECT 1")
            except SQLAlchemyError as error:
                self._lost = error
                return

    def stop(self) -> None:
        self._stopped.set()

    def require(self) -> None:
        """Raises HoldLost."""
        if self._lost is not None:
            raise HoldLost(
                sentence("the old database was held no longer, for its connection was lost")
            ) from self._lost

    def hand_over(self, posted: Notice, schema: str | None, *, whole: bool) -> None:
        """Make the new database the one that is in charge. whole -- the whole database moves.

        Raises HoldLost; SQLAlchemy's errors if the connection was lost in the COMMIT and no other can be made, so that
        it is not known.
        """
        self.require()
        self._stopped.set()
        with self._lock:
            try:
                notice.post(self._connection, posted, self._tables, schema)
                if whole:
                    notice.mark_read_only(self._connection)
            except SQLAlchemyError as error:
                why = " ".join(str(getattr(error, "orig", error)).split())
                raise HoldLost(
                    sentence("the old database could not be closed ({error})", error=why)
                ) from error
            try:
                self._connection.commit()
            except SQLAlchemyError as error:
                if notice_in(self._url, schema) != posted:
                    raise HoldLost(
                        sentence("the connection to the old database was lost before it was closed")
                    ) from error

    def read(self, statement: str) -> list[tuple[object, ...]]:
        """Rows of a statement, in the transaction."""
        with self._lock:
            self.require()
            plain = {"no_parameters": True}  # a percent sign is SQL's
            rows = self._connection.exec_driver_sql(statement, execution_options=plain).all()
            return [tuple(row) for row in rows]


@contextmanager
def held(url: str, tables: Sequence[str], schema: str | None) -> Iterator[Hold]:
    """The database at `url`, as it is given, is held in the block.

    Raises MoveFailed, SQLAlchemy's errors.
    """
    engine = pool.single(url, application_name=NAME, schema=schema)
    with whereabouts.as_given(), engine.connect() as connection:
        hold = Hold(connection, url, tables)
        hold.take()
        keeper = threading.Thread(target=hold.say_so, name="move-hold", daemon=True)
        keeper.start()
        try:
            yield hold
        finally:
            hold.stop()
            keeper.join()
            with suppress(SQLAlchemyError):
                connection.rollback()


def notice_in(url: str, schema: str | None) -> Notice | None:
    """What the database at this address says of where it went. Raises SQLAlchemy's errors."""
    with whereabouts.as_given(), pool.single(url, application_name=NAME).connect() as connection:
        return notice.read(connection.connection.dbapi_connection, schema)


def end_sessions(url: str) -> int:
    """End what others of this role have open there; how many. Their next connection finds the notice."""
    with whereabouts.as_given(), pool.single(url, application_name=NAME).connect() as connection:
        return int(connection.exec_driver_sql(_END_OTHERS).scalar_one())
