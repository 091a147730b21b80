"""What an operator wants to know of a database at a glance."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dbcore import migrate
from dbcore.guard import pool
from dbcore.schema import TABLE_NAMES


@dataclass(frozen=True, slots=True)
class Status:
    """rows -- of each table; None where it is missing.

    outbox_oldest_seconds -- of the jobs that wait there; None if none does.
    """

    server: str
    revision: str | None
    newest_revision: str
    connections: int
    connections_max: int
    size: str
    schema: str | None
    latency_ms: float
    rows: dict[str, int | None]
    outbox_oldest_seconds: float | None


def status(url: str, schema: str | None = None) -> Status:
    """schema -- BALLAST_SCHEMA. Raises SQLAlchemy's errors if the database is unavailable."""
    engine = pool.single(url, application_name="ballast status", schema=schema)
    with engine.connect() as connection:
        version, used, most, size, here = connection.execute(
            text(
                "SELECT current_setting('server_version'), "
                "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
                "current_setting('max_connections')::int, pg_size_pretty(pg_database_size(current_database())), "
                "coalesce(CAST(:schema AS text), current_schema())"
            ),
            {"schema": schema},
        ).one()
        revision = migrate.current_revision(connection, schema)
        started = time.perf_counter()
        connection.execute(text("SELECT 1"))
        latency_ms = (time.perf_counter() - started) * 1000
        rows = _rows(connection, here)
        return Status(
            server=version,
            revision=revision,
            newest_revision=migrate.newest_revision(),
            connections=used,
            connections_max=most,
            size=size,
            schema=here,
            latency_ms=latency_ms,
            rows=rows,
            outbox_oldest_seconds=_oldest_in_outbox(connection, here) if rows["outbox"] else None,
        )


def _rows(connection: Connection, schema: str | None) -> dict[str, int | None]:
    present = set(
        connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = :schema"), {"schema": schema}
        ).scalars()
    )
    return {
        name: connection.exec_driver_sql(f'SELECT count(*) FROM "{schema}"."{name}"').scalar_one()  # noqa: S608  our own names
        if name in present
        else None
        for name in TABLE_NAMES
    }


def _oldest_in_outbox(connection: Connection, schema: str | None) -> float | None:
    oldest: float | None = connection.exec_driver_sql(
        f'SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float8 FROM "{schema}"."outbox"'  # noqa: S608
    ).scalar_one()
    return oldest
