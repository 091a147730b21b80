"""A dump of the database, and the facts of the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from dbcore import migrate
from dbcore.backups.errors import BackupBusy, BackupFailed
from dbcore.backups.facts import Facts, read_facts
from dbcore.backups.programs import Programs
from dbcore.guard import pool
from dbcore.sentences import sentence

_LOCK = 0x62616C6C62616B  # "ballbak"
_LOCK_WAIT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Dumped:
    """revision -- of the schema. search_path -- where the source finds bare names."""

    facts: Facts
    taken_at: str
    server_version: str
    revision: str
    search_path: str


@contextmanager
def only_one(url: str) -> Iterator[None]:
    """One backup of a database at a time. The server ends the turn of a process that dies.

    Raises BackupBusy if another one is running.
    """
    engine = pool.single(url, application_name="ballast backup")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar_one():
            raise BackupBusy(sentence("another backup of this database is running"))
        yield


def server_major(url: str) -> int:
    engine = pool.single(url, application_name="ballast backup")
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000


def dump(
    url: str,
    schema: str | None,
    schemas: Sequence[str],
    programs: Programs,
    file: Path,
    *,
    begun: Callable[[], None],
) -> Dumped:
    """Dump into `file`. schema -- BALLAST_SCHEMA. schemas -- what is dumped; empty: the whole database. begun -- is
    called once its moment is fixed.

    Raises BackupFailed, SQLAlchemy's errors.
    """
    engine = pool.single(url, application_name="ballast backup", schema=schema)
    engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.begin() as connection:
        # Not the role's own limits, which are meant for the bot's calls. The transaction is idle while pg_dump works.
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text("SELECT set_config(:name, '0', true)"), {"name": limit})
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        taken_at, version, path = connection.exec_driver_sql(
            "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
            "current_setting('server_version'), current_setting('search_path')"
        ).one()
        revision = migrate.current_revision(connection, schema)
        if revision is None:
            raise BackupFailed(sentence("the database has none of Ballast's tables: migrate first"))
        begun()
        programs.run(
            "pg_dump",
            "--format=custom",
            "--no-owner",
            "--no-publications",
            "--no-subscriptions",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={_LOCK_WAIT_MS}",
            *(f"--schema={name}" for name in schemas),
            f"--file={file}",
            url=url,
            folder=file.parent,
        )
        facts = read_facts(connection, schema, schemas)
    return Dumped(facts, taken_at, version, revision, path)
