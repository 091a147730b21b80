"""What must be so before a dump is restored into a database that a bot is to go on with."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dbcore.backups.errors import BackupFailed
from dbcore.backups.facts import count_relations
from dbcore.guard import pool
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence

_CONNECTED = """
SELECT DISTINCT application_name FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'ballast%'
   AND application_name NOT IN ('ballast backup', 'ballast restore')
"""
# Whom a broadcast reached after the backup nobody knows now.
_PAUSE = """
SELECT b.id FROM ballast.broadcasts b CROSS JOIN LATERAL ballast.broadcast_order(b.id, 'pause', NULL) AS ordered
 WHERE (b.status = 'sending' OR b.status = 'scheduled' AND b.scheduled_for < now()) AND ordered.r_obeyed ORDER BY b.id
"""


def require_free(url: str, *, overwrite: bool) -> None:
    """Raises BackupFailed while a process of Ballast's is connected, and if there is something in the database unless
    it may be overwritten; SQLAlchemy's errors.
    """
    with pool.single(url, application_name="ballast restore").connect() as connection:
        connected = connection.execute(text(_CONNECTED)).scalars().all()
        if connected:
            raise BackupFailed(
                sentence(
                    "processes of Ballast are connected ({processes}): stop them first",
                    processes=", ".join(sorted(connected)),
                )
            )
        tables = count_relations(connection)
    if tables and not overwrite:
        raise BackupFailed(
            sentence(
                "the database is not empty: give a new one by --into, or let this one be replaced by --overwrite"
            )
        )


def pause_broadcasts(url: str, schema: str | None) -> list[int]:
    """Those that were being sent, or whose time has come since; their ids. Raises BackupFailed."""
    try:
        with pool.single(url, application_name="ballast restore", schema=schema).begin() as connection:
            return list(connection.execute(text(qualified(_PAUSE, schema))).scalars())
    except SQLAlchemyError as error:
        raise BackupFailed(sentence("broadcasts could not be paused: {error}", error=error)) from error
