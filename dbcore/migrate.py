"""Brings a database to the newest schema. Two at once are safe: for each migration one waits for the other, and does
what is left.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TextIO

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text

from dbcore import collisions, migration_files, migration_locks, own_schema, privileges, structure
from dbcore.guard import pool
from dbcore.sentences import sentence

_SCRIPTS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x62616C6C617374  # "ballast"
_TURN_TIMEOUT = "60s"  # for another migrator to finish
_LOCK_TIMEOUT = f"{migration_locks.LOCK_TIMEOUT_MS}ms"  # for a table, and for rows
_LOCK_TIMEOUT_ALONE = "5s"  # where only autovacuum can be in the way, which gives way after a second
_STATEMENT_TIMEOUT = "60s"


def config_of(output: TextIO | None = None) -> Config:
    """Of Ballast's migrations. output -- where `sql=True` writes what it would send."""
    config = Config() if output is None else Config(output_buffer=output)
    # Alembic reads its options through ConfigParser, where a percent sign in a path means interpolation.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def scripts_of(config: Config) -> ScriptDirectory:
    """The migrations of a configuration. Ballast's own do not change while a process runs, and are read once."""
    is_ballasts = config.get_main_option("version_locations") is None
    return _own_scripts() if is_ballasts else ScriptDirectory.from_config(config)


@cache
def _own_scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config_of())


def upgrade(url: str, *, schema: str | None = None, to: str = "head") -> None:
    """Apply what is missing up to a revision, each migration in a transaction of its own: no table stays locked while
    the next one works. After a failure the database is at the last revision that was finished, and the next call goes
    on from there.

    schema -- BALLAST_SCHEMA, made where it is missing.
    Raises Refused where the schema is another application's, or cannot be made, or a table was never free for a moment;
    SQLAlchemy's errors: OperationalError where the server is away.
    """
    engine = pool.single(url, application_name="ballast migrate", schema=schema)
    while migration_locks.patiently(engine, "a migration", lambda: _is_behind(engine, schema, to)):
        pass


def move(url: str, *, source: str, schema: str) -> None:
    """Bring Ballast's tables to this release where they are, and then into another schema, in one transaction.

    Raises as `upgrade` does; also where the source has none of Ballast's tables, or its processes are connected.
    """
    engine = pool.single(url, application_name="ballast migrate", schema=schema)
    with engine.connect() as connection:  # rolled back: nothing is changed before it is known to be possible
        if not _versions(connection, source):
            raise collisions.Refused(
                sentence("--move-from: the schema {schema} has none of Ballast's tables", schema=source)
            )
        _make_room(connection, schema)
    upgrade(url, schema=source)
    with engine.begin() as connection:
        for place in sorted((source, schema)):
            _take_turn(connection, place, lock_timeout=_LOCK_TIMEOUT_ALONE)
        _make_room(connection, schema)
        own_schema.move(connection, source, schema)
        own_schema.require_apart(connection, schema)
        structure.requalify(connection, schema)
        privileges.close_to_others(connection, schema)


@contextmanager
def no_migration(url: str, schema: str | None) -> Iterator[None]:
    """In the block no migration of this database begins. One that waits gives up after a minute.

    Raises Refused if one is running, SQLAlchemy's errors.
    """
    engine = pool.single(url, application_name="ballast move")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        taken = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _lock_key(schema)})
        if not taken.scalar_one():
            raise collisions.Refused(sentence("the database is being migrated: wait for that"))
        yield


def is_older(url: str, *, schema: str | None = None, apps: Sequence[AppMigrations] = ()) -> bool:
    """Whether `upgrade` or `upgrade_app` has something to change in tables that are there. Raises SQLAlchemy's errors.

    A database that another application or a newer release has migrated is not: they refuse it.
    """
    with pool.single(url, application_name="ballast migrate", schema=schema).connect() as connection:
        if _is_between(config_of(), current_revision(connection, schema)):
            return True
        for app in apps:
            with suppress(CommandError):  # `upgrade_app` says what is wrong with its revisions
                if _is_between(config_of_app(app), revision_of_app(connection, app)):
                    return True
    return False


def _is_between(config: Config, revision: str | None) -> bool:
    """Whether it is one of these migrations, and not the newest."""
    return revision in between(config, "head", "base")[:-1]


@dataclass(frozen=True, slots=True)
class AppMigrations:
    """The revisions of an app, a lineage of their own.

    folder -- of the revisions, or with `versions` in it.
    schema -- of the table of its revision; None: where a bare name is found.
    """

    app: str
    folder: Path
    schema: str | None

    @property
    def version_table(self) -> str:
        return f"alembic_version_{self.app}"


def upgrade_app(url: str, migrations: AppMigrations, *, schema: str | None = None) -> str | None:
    """Apply what is missing of an app's migrations, each in a transaction of its own; the revision it is at then.

    schema -- BALLAST_SCHEMA, whose migrator it waits for.
    Raises Refused for a folder that is none, or does not know the database's revision, or if a table was never free for
    a moment; SQLAlchemy's errors.
    """
    folder = _versions_folder(migrations)
    if not folder.is_dir():
        raise collisions.Refused(
            sentence(
                "{app}: there is no folder {folder} with its migrations",
                app=migrations.app,
                folder=str(folder),
            )
        )
    config = config_of_app(migrations)
    engine = pool.single(url, application_name="ballast migrate", schema=schema)
    head = _head_of_app(config, migrations.app, folder)
    try:
        while migration_locks.patiently(
            engine, migrations.app, lambda: _app_is_behind(engine, config, migrations, schema)
        ):
            pass
    except CommandError as error:
        raise collisions.Refused(f"{migrations.app}: {' '.join(str(error).split())}") from error
    return head


def _head_of_app(config: Config, app: str, folder: Path) -> str | None:
    """The newest of an app's revisions. Raises Refused, in one sentence, if they are no line of revisions."""
    scripts = ScriptDirectory.from_config(config)
    try:
        with warnings.catch_warnings():
            # Of a down_revision that is nowhere, and of a revision that is there twice, Alembic only warns.
            warnings.filterwarnings("error", module=r"alembic\.script")
            heads = scripts.get_heads()
            without_upgrade = [
                Path(each.path).name
                for each in scripts.walk_revisions()
                if not hasattr(each.module, "upgrade")
            ]
    except Exception as error:  # whatever an author's module does, the program ends in one line
        told = " ".join(str(error).split())
        kind = "" if isinstance(error, CommandError | UserWarning) else f"{type(error).__name__}: "
        raise collisions.Refused(
            sentence(
                "{app}: the migrations in {folder} cannot be read: {error}",
                app=app,
                folder=str(folder),
                error=f"{kind}{told}",
            )
        ) from error
    if len(heads) > 1:
        raise collisions.Refused(
            sentence(
                "{app}: the migrations in {folder} have {number} ends, {names}: expected one line, in which each has "
                "the revision before it as its down_revision, and the first has None",
                app=app,
                folder=str(folder),
                number=len(heads),
                names=", ".join(sorted(heads)),
            )
        )
    if without_upgrade:
        raise collisions.Refused(
            sentence(
                "{app}: {file} in {folder} has no function upgrade",
                app=app,
                file=without_upgrade[0],
                folder=str(folder),
            )
        )
    return heads[0] if heads else None


def config_of_app(migrations: AppMigrations, output: TextIO | None = None) -> Config:
    """Of an app's migrations. output -- as of `config_of`."""
    config = config_of(output)
    config.set_main_option("version_locations", str(_versions_folder(migrations)).replace("%", "%%"))
    config.attributes.update(schema=migrations.schema, version_table=migrations.version_table)
    return config


def revision_of_app(connection: Connection, migrations: AppMigrations) -> str | None:
    """Which one its tables are at; None: no migration of it was applied."""
    return _context_of(connection, migrations).get_current_revision()


def _versions_folder(migrations: AppMigrations) -> Path:
    versions = migrations.folder / "versions"
    return versions if versions.is_dir() else migrations.folder


def _context_of(connection: Connection, migrations: AppMigrations) -> MigrationContext:
    return MigrationContext.configure(
        connection,
        opts={"version_table": migrations.version_table, "version_table_schema": migrations.schema},
    )


def _app_is_behind(engine: Engine, config: Config, migrations: AppMigrations, schema: str | None) -> bool:
    """Whether there was a migration to apply; it is applied."""
    with engine.begin() as connection:
        _take_turn(connection, schema)
        if migrations.schema is not None:
            connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{migrations.schema}"')
        current = revision_of_app(connection, migrations) or "base"
        if current not in {"base", *between(config, "head", "base")}:
            raise collisions.Refused(
                sentence(
                    "{app}: the database is at revision {revision}, which its migrations do not have: a newer release "
                    "of it migrated",
                    app=migrations.app,
                    revision=current,
                )
            )
        missing = between(config, "head", current)
        if missing:
            config.attributes["connection"] = connection
            command.upgrade(config, missing[0])
    return len(missing) > 1


def _make_room(connection: Connection, schema: str) -> None:
    own_schema.require_alone(connection)
    own_schema.make(connection, schema)
    collisions.require_room(connection, schema, [], between(config_of(), "head", "base"))


def _lock_key(schema: str | None) -> int:
    """Of each schema its own: two Ballasts in one database do not wait for each other."""
    return _ADVISORY_LOCK if schema is None else _ADVISORY_LOCK ^ zlib.crc32(schema.encode())


def _is_behind(engine: Engine, schema: str | None, to: str) -> bool:
    """Whether there was a migration to apply; it is applied."""
    config = config_of()
    config.attributes["schema"] = schema
    with engine.begin() as connection:
        _take_turn(connection, schema)
        if schema is not None:
            own_schema.make(connection, schema)
        collisions.require_readable(connection, schema)
        versions = _versions(connection, schema)
        collisions.require_ours(connection, schema, versions, between(config, "head", "base"))
        if schema is not None and not versions:
            own_schema.require_apart(connection, schema)
        current = versions[0] if versions else "base"
        missing = between(config, to, current)
        if missing:
            collisions.require_room(connection, schema, between(config, current, "base"), missing)
            migration_locks.take_first(
                connection, schema, migration_locks.locks_of(migration_files.text_of(missing[0]))
            )
            config.attributes["connection"] = connection
            command.upgrade(config, missing[0])
        elif versions == (newest_revision(),):
            structure.requalify(connection, schema)
        # With each one, so that nothing of it is open to others for a moment.
        privileges.close_to_others(connection, schema)
    return len(missing) > 0


def _take_turn(connection: Connection, schema: str | None, *, lock_timeout: str = _LOCK_TIMEOUT) -> None:
    _limit(connection, lock_timeout=_TURN_TIMEOUT, statement_timeout="0")
    # Of the transaction, not of the session: a transaction pooler would leave a session's lock behind. So another
    # migrator may come in between two of ours, and where the database is is asked under the lock.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(schema)})
    _limit(connection, lock_timeout=lock_timeout, statement_timeout=_STATEMENT_TIMEOUT)


def between(config: Config, to: str, current: str) -> list[str]:
    """The revisions after `current`, in the order in which they are applied."""
    newest_first = scripts_of(config).iterate_revisions(to, current)
    return [script.revision for script in newest_first][::-1]


def _limit(connection: Connection, *, lock_timeout: str, statement_timeout: str) -> None:
    statement = (
        "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)"
    )
    connection.execute(text(statement), {"lock": lock_timeout, "statement": statement_timeout})


def newest_revision() -> str:
    """The revision this release expects."""
    head = scripts_of(config_of()).get_current_head()
    if head is None:
        raise LookupError(f"there are no migrations in {_SCRIPTS}")
    return head


def oldest_revision() -> str:
    """The one that the first release made."""
    base = scripts_of(config_of()).get_base()
    if base is None:
        raise LookupError(f"there are no migrations in {_SCRIPTS}")
    return base


def current_revision(connection: Connection, schema: str | None = None) -> str | None:
    """The revision of a database; None for one that was never migrated."""
    return ", ".join(_versions(connection, schema)) or None


def _versions(connection: Connection, schema: str | None) -> tuple[str, ...]:
    """What the version table holds; several may be another application's."""
    return MigrationContext.configure(connection, opts={"version_table_schema": schema}).get_current_heads()
