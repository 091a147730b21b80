"""Brings a database to the newest schema. Two at once are safe: for each migration one waits for the other, and does
what is left.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from dbcore import connections, privileges

_SCRIPTS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x62616C6C617374  # "ballast"
_TURN_TIMEOUT = "60s"  # for another migrator to finish
_LOCK_TIMEOUT = "5s"  # for a table: everyone else queues behind a migration that waits
_STATEMENT_TIMEOUT = "60s"


def _config() -> Config:
    config = Config()
    # Alembic reads its options through ConfigParser, where a percent sign in a path means interpolation.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(url: str, *, to: str = "head") -> None:
    """Apply what is missing up to a revision, each migration in a transaction of its own: no table stays locked while
    the next one works. After a failure the database is at the last revision that was finished, and the next call goes
    on from there.

    Raises SQLAlchemy's errors: OperationalError where the server is away or a lock was not to be had in time.
    """
    engine = connections.single(url, application_name="ballast migrate")
    while _is_behind(engine, to):
        pass


def _is_behind(engine: Engine, to: str) -> bool:
    """Whether there was a migration to apply; it is applied."""
    config = _config()
    with engine.begin() as connection:
        _limit(connection, lock_timeout=_TURN_TIMEOUT, statement_timeout="0")
        # Of the transaction, not of the session: a transaction pooler would leave a session's lock behind. So another
        # migrator may come in between two of ours, and where the database is is asked under the lock.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _limit(connection, lock_timeout=_LOCK_TIMEOUT, statement_timeout=_STATEMENT_TIMEOUT)
        missing = _missing(config, current_revision(connection), to)
        if missing:
            config.attributes["connection"] = connection
            command.upgrade(config, missing[0])
        # With each one, so that nothing of it is open to others for a moment.
        privileges.close_to_others(connection)
    return len(missing) > 0


def _missing(config: Config, current: str | None, to: str) -> list[str]:
    """The revisions between, in the order in which they are applied."""
    newest_first = ScriptDirectory.from_config(config).iterate_revisions(to, current or "base")
    return [script.revision for script in newest_first][::-1]


def _limit(connection: Connection, *, lock_timeout: str, statement_timeout: str) -> None:
    statement = (
        "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)"
    )
    connection.execute(text(statement), {"lock": lock_timeout, "statement": statement_timeout})


def newest_revision() -> str:
    """The revision this release expects."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise LookupError(f"there are no migrations in {_SCRIPTS}")
    return head


def oldest_revision() -> str:
    """The one that the first release made."""
    base = ScriptDirectory.from_config(_config()).get_base()
    if base is None:
        raise LookupError(f"there are no migrations in {_SCRIPTS}")
    return base


def current_revision(connection: Connection) -> str | None:
    """The revision of a database; None for one that was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()
