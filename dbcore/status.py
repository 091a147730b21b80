"""What an operator wants to know of a database at a glance."""

from __future__ import annotations

import time

from sqlalchemy import Connection, inspect, text

from dbcore import connections, migrate
from dbcore.schema import TABLE_NAMES


def status(url: str) -> str:
    """Version, revision, tables with their rows, connections, size and latency, as text.

    Raises SQLAlchemy's errors where the database is away.
    """
    engine = connections.single(url, application_name="ballast status")
    with engine.connect() as connection:
        version, used, most, size = connection.execute(
            text(
                "SELECT current_setting('server_version'), "
                "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
                "current_setting('max_connections')::int, pg_size_pretty(pg_database_size(current_database()))"
            )
        ).one()
        revision = migrate.current_revision(connection)
        newest = migrate.newest_revision()
        started = time.perf_counter()
        connection.execute(text("SELECT 1"))
        latency_ms = (time.perf_counter() - started) * 1000
        lines = [
            f"server       PostgreSQL {version}",
            f"revision     {revision or 'none'}"
            + ("" if revision == newest else f" (this release: {newest})"),
            f"connections  {used} of {most}",
            f"size         {size}",
            f"latency      {latency_ms:.1f} ms",
            "tables",
            *_tables(connection),
        ]
    return "\n".join(lines)


def _tables(connection: Connection) -> list[str]:
    present = set(inspect(connection).get_table_names())
    width = max(map(len, TABLE_NAMES))
    lines = []
    for name in TABLE_NAMES:
        if name not in present:
            lines.append(f"  {name:<{width}}  missing")
            continue
        rows = connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()  # noqa: S608  our own names
        lines.append(f"  {name:<{width}}  {rows:>12,} {'row' if rows == 1 else 'rows'}")
    return lines
