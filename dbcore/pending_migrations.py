"""Which migrations a database lacks, what each locks, and what an index that they build takes on the disk."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from dbcore import migrate, migration_files
from dbcore.guard import pool
from dbcore.migration_locks import TableLock, locks_of


@dataclass(frozen=True, slots=True)
class Pending:
    """One migration.

    app -- whose; None: Ballast's own. title -- the first line of its docstring.
    locks -- what stops others, of tables that exist and have rows; None: only running it would tell.
    index_bytes -- at most, of the indexes that it builds.
    """

    app: str | None
    revision: str
    title: str
    locks: tuple[TableLock, ...] | None
    index_bytes: int = 0

    @property
    def stops_bot(self) -> bool:
        """Whether commands wait for as long as a table is large. Unknown counts as not."""
        return any(lock.stops_bot for lock in self.locks or ())


@dataclass(frozen=True, slots=True)
class Server:
    """version -- as PostgreSQL says it as a number: 160004. revision -- of Ballast's tables; None: there are none."""

    version: int
    revision: str | None
    known: bool
    pending: tuple[Pending, ...]


def look(url: str, *, schema: str | None = None, apps: Sequence[migrate.AppMigrations] = ()) -> Server:
    """Read it; nothing is changed. Raises SQLAlchemy's errors.

    `known` is False for a database at a revision that this release does not have.
    """
    engine = pool.single(url, application_name="ballast upgrade", schema=schema)
    with engine.connect() as connection:
        version = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
        revision = migrate.current_revision(connection, schema)
        config = migrate.config_of()
        known = revision is None or revision in migrate.between(config, "head", "base")
        pending = _own(connection, config, revision, schema) if known else []
        for app in apps:
            pending += _of_app(connection, app, schema)
        return Server(version, revision, known, tuple(pending))


def _own(connection: Connection, config: Config, revision: str | None, schema: str | None) -> list[Pending]:
    scripts = migrate.scripts_of(config)
    return [
        _pending(connection, [schema], None, each, _title(scripts, each), migration_files.text_of(each))
        for each in migrate.between(config, "head", revision or "base")
    ]


def _of_app(connection: Connection, app: migrate.AppMigrations, schema: str | None) -> list[Pending]:
    config = migrate.config_of_app(app)
    current = migrate.revision_of_app(connection, app) or "base"
    try:
        missing = migrate.between(config, "head", current)
    except CommandError:  # `migrate` says what is wrong with its revisions
        return []
    scripts = migrate.scripts_of(config)
    found = []
    for before, revision in zip([current, *missing], missing, strict=False):
        sql = _as_sql(connection, app, before, revision)
        places = [app.schema, schema]
        found.append(_pending(connection, places, app.app, revision, _title(scripts, revision), sql))
    return found


def _as_sql(connection: Connection, app: migrate.AppMigrations, before: str, revision: str) -> str | None:
    """What a migration would send, without running it; None if it asks the database something first."""
    written = io.StringIO()
    config = migrate.config_of_app(app, output=written)
    config.attributes["connection"] = connection
    with suppress(Exception), warnings.catch_warnings(action="ignore"):  # an author's module may do anything
        command.upgrade(config, f"{before}:{revision}", sql=True)
        return written.getvalue()
    return None


def _title(scripts: ScriptDirectory, revision: str) -> str:
    return (scripts.get_revision(revision).doc or "").strip()


def _pending(
    connection: Connection,
    places: Sequence[str | None],
    app: str | None,
    revision: str,
    title: str,
    sql: str | None,
) -> Pending:
    """places -- the schemas whose tables it may lock."""
    if sql is None:
        return Pending(app, revision, title, None)
    locks, index_bytes = [], 0
    for lock in locks_of(sql):
        size = next(filter(None, (_size(connection, schema, lock.table) for schema in places)), None)
        if size is None:
            continue
        locks.append(lock)
        if lock.long == "builds an index":
            index_bytes += size
    return Pending(app, revision, title, tuple(locks), index_bytes)


def _size(connection: Connection, schema: str | None, table: str) -> int | None:
    """Bytes of its rows; None if there is none, or it is empty."""
    prefix = f'"{schema}".' if schema else ""
    size: int | None = connection.execute(
        text("SELECT nullif(pg_relation_size(to_regclass(:table)), 0)"), {"table": f'{prefix}"{table}"'}
    ).scalar()
    return size
