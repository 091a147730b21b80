"""Brings a database to the newest schema. Two at once are safe: one waits for the other, and finds nothing to
do.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

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
    """Apply what is missing up to a revision, all of it in one transaction.

    Raises SQLAlchemy's errors: OperationalError where the server is away or a lock was not to be had in time.
    """
    engine = connections.single(url, application_name="ballast migrate")
    with engine.begin() as connection:
        _limit(connection, lock_timeout=_TURN_TIMEOUT, statement_timeout="0")
        # Of the transaction, not of the session: a transaction pooler would leave a session's lock behind.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _limit(connection, lock_timeout=_LOCK_TIMEOUT, statement_timeout=_STATEMENT_TIMEOUT)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        if to == "head":
            privileges.close_to_others(connection)


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
