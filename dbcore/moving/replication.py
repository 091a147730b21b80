"""A copy by logical replication: made and kept up to date while everybody writes, so that people wait only for the last
changes.

The old server publishes the tables, the new one subscribes to them. Sequences are not replicated: they are set once
nobody writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from dbcore.backups.facts import read_facts
from dbcore.backups.programs import Programs
from dbcore.backups.proving import restore_into
from dbcore.guard import pool
from dbcore.moving.checks import Checked
from dbcore.moving.errors import MoveFailed
from dbcore.moving.hold import NAME, Hold
from dbcore.sentences import Sentence, sentence, several

OBJECT = "ballast_move"
"""The name of publication, subscription and slot."""

LOOK_SECONDS = 0.05

_HERE = """
SELECT current_setting('wal_level') = 'logical' AND current_setting('transaction_read_only') = 'off',
       rolreplication OR rolsuper,
       (SELECT count(*) FROM pg_replication_slots) < current_setting('max_replication_slots')::int,
       EXISTS (SELECT FROM pg_largeobject_metadata)
  FROM pg_roles WHERE rolname = current_user
"""
_THERE = """
SELECT rolsuper OR EXISTS (SELECT FROM pg_roles p WHERE p.rolname = 'pg_create_subscription'
                           AND pg_has_role(current_user, p.oid, 'USAGE'))
  FROM pg_roles WHERE rolname = current_user
"""
_WITHOUT_KEY = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE format('%I.%I', n.nspname, c.relname) = ANY(:tables) AND c.relkind = 'r'
   AND NOT (c.relreplident = 'd' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
            OR c.relreplident IN ('f', 'i'))
"""
_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
  FROM pg_sequences WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
"""


def reasons_against(source: str, target: str, tables: Sequence[str]) -> list[Sentence]:
    """Why it cannot be done; empty if it can, as far as both servers tell. Raises SQLAlchemy's errors."""
    against: list[Sentence] = []
    with pool.single(source, application_name=NAME).connect() as old:
        logical, may_replicate, has_slot, has_large_objects = old.exec_driver_sql(_HERE).one()
        without_key = old.execute(text(_WITHOUT_KEY), {"tables": list(tables)}).scalars().all()
    with pool.single(target, application_name=NAME).connect() as new:
        may_subscribe = new.exec_driver_sql(_THERE).scalar_one()
    if not logical:
        against.append(sentence("the old server's wal_level is not logical, or it is read-only"))
    if not may_replicate:
        against.append(sentence("this login may not replicate from the old server"))
    if not has_slot:
        against.append(sentence("the old server has no replication slot left"))
    if has_large_objects:
        against.append(sentence("the old database has large objects"))
    if without_key:
        against.append(sentence("{tables} has no primary key", tables=", ".join(without_key[:3])))
    if not may_subscribe:
        against.append(sentence("this login may not subscribe on the new server"))
    return against


class Replication:
    """One that runs. Made by `running`."""

    def __init__(self, source: str, target: str) -> None:
        self._old, self._new = _engine(source), _engine(target)

    def wait_for_first_copy(self) -> None:
        """Until every table is there. Raises MoveFailed, SQLAlchemy's errors."""
        while True:
            with self._new.connect() as new:
                left, failing = new.exec_driver_sql(
                    "SELECT (SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r'), "
                    "(SELECT sum(sync_error_count + apply_error_count) FROM pg_stat_subscription_stats)"
                ).one()
            if failing:
                raise MoveFailed(
                    sentence("the new server cannot apply what the old one sends: its log says why")
                )
            if not left:
                return
            time.sleep(LOOK_SECONDS)

    def catch_up(self, held: Hold, seconds_max: float) -> None:
        """Until all that was ever written is there, and the sequences stand where they stood.

        Raises MoveFailed if that takes too long.
        """
        ((position,),) = held.read("SELECT pg_current_wal_insert_lsn()::text")
        until = time.monotonic() + seconds_max
        while True:
            held.require()
            with self._old.connect() as old:
                arrived = old.execute(
                    text(
                        "SELECT confirmed_flush_lsn >= CAST(:position AS pg_lsn) FROM pg_replication_slots "
                        "WHERE slot_name = :slot"
                    ),
                    {"position": position, "slot": OBJECT},
                ).scalar_one()
            if arrived:
                break
            if time.monotonic() > until:
                raise MoveFailed(
                    sentence(
                        "the new server has not caught up within {seconds} s", seconds=round(seconds_max)
                    )
                )
            time.sleep(LOOK_SECONDS)
        with self._new.connect() as new:
            for name, value, is_called in held.read(_SEQUENCES):
                new.execute(
                    text("SELECT setval(CAST(:name AS regclass), :value, :is_called)"),
                    {"name": name, "value": value, "is_called": is_called},
                )

    def compare(self, held: Hold, schema: str | None, schemas: Sequence[str]) -> None:
        """Rows and sums of both. Raises MoveFailed."""
        with self._old.connect() as old, self._new.connect() as new:
            wrong = read_facts(old, schema, schemas).differences(read_facts(new, schema, schemas))
        held.require()
        if wrong:
            raise MoveFailed(
                sentence(
                    "the copy is not what the old database holds: {differences}",
                    differences=several(wrong, "; "),
                )
            )


def copy_schema(
    source: str, target: str, found: Checked, tools: Programs, schemas: Sequence[str], file: Path
) -> None:
    """The tables without their rows, and all else that is no row. file -- for the dump.

    Raises BackupFailed, SQLAlchemy's errors.
    """
    remove(source, target)  # of a run that was killed
    tools.run(
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--no-publications",
        "--no-subscriptions",
        "--schema-only",
        *(f"--schema={name}" for name in schemas),
        f"--file={file}",
        url=source,
        folder=file.parent,
        name=NAME,
    )
    restore_into(target, file, tools, overwrite=found.resumes)


@contextmanager
def running(source: str, target: str, tables: Sequence[str]) -> Iterator[Replication]:
    """It runs in the block, into the tables of `copy_schema`; both servers are as before afterwards, but for what was
    copied.

    Raises SQLAlchemy's errors.
    """
    replication = Replication(source, target)
    try:
        with replication._old.connect() as old:
            old.exec_driver_sql(f"CREATE PUBLICATION {OBJECT} FOR TABLE {', '.join(tables)}")
        with replication._new.connect() as new:
            new.exec_driver_sql(
                f"CREATE SUBSCRIPTION {OBJECT} CONNECTION '{_conninfo(source)}' PUBLICATION {OBJECT} "
                f"WITH (slot_name = '{OBJECT}', synchronous_commit = 'on')",
                execution_options={"no_parameters": True},
            )
        yield replication
    finally:
        remove(source, target)


def remove(source: str, target: str) -> None:
    """Publication, subscription and slot; a slot that is left would keep the old server's log forever."""
    with suppress(SQLAlchemyError), _engine(target).connect() as new:
        if _has(new, "pg_subscription WHERE subname"):
            new.exec_driver_sql(f"ALTER SUBSCRIPTION {OBJECT} DISABLE")
            new.exec_driver_sql(f"ALTER SUBSCRIPTION {OBJECT} SET (slot_name = NONE)")
            new.exec_driver_sql(f"DROP SUBSCRIPTION {OBJECT}")
    with suppress(SQLAlchemyError), _engine(source).connect() as old:
        old.exec_driver_sql("SET default_transaction_read_only = off")  # it may be closed by now
        old.exec_driver_sql(
            f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{OBJECT}'"  # noqa: S608
        )
        for _ in range(50):
            if not _has(old, "pg_replication_slots WHERE slot_name"):
                break
            with suppress(SQLAlchemyError):  # its walsender has not ended yet
                old.exec_driver_sql(f"SELECT pg_drop_replication_slot('{OBJECT}')")
            time.sleep(LOOK_SECONDS)
        old.exec_driver_sql(f"DROP PUBLICATION IF EXISTS {OBJECT}")


def _has(connection: Connection, where: str) -> bool:
    return bool(connection.exec_driver_sql(f"SELECT count(*) FROM {where} = '{OBJECT}'").scalar_one())  # noqa: S608


def _conninfo(source: str) -> str:
    parameters = pool.libpq_parameters(source, application_name=NAME)
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items()).replace("'", "''")


def _engine(url: str) -> Engine:
    engine = pool.single(str(make_url(url).render_as_string(hide_password=False)), application_name=NAME)
    return engine.execution_options(isolation_level="AUTOCOMMIT")
