"""Databases that exist for one proof. What a killed proof leaves is dropped before the next one, by its name."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from dbcore.database_url import read_database_url
from dbcore.guard import pool

PREFIX = "ballast_scratch_"

_MAY_CREATE = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
_LISTED = "SELECT datname FROM pg_database WHERE datname LIKE :names"


def may_create(url: str) -> bool:
    """Whether this login may make a database there."""
    with _engine(url).connect() as connection:
        return bool(connection.exec_driver_sql(_MAY_CREATE).scalar_one())


def tag_of(url: str) -> str:
    """Stands for a database in the names of its scratch databases: several bots may prove on one server."""
    parsed = make_url(read_database_url(url))
    where = f"{parsed.host} {parsed.port} {parsed.query.get('host')} {parsed.database}"
    return hashlib.sha256(where.encode()).hexdigest()[:8]


def sweep(server: str, tag: str) -> list[str]:
    """Drop the scratch databases of one source whose proofs have ended; their names."""
    with _engine(server).connect() as connection:
        names = connection.execute(
            text(_LISTED), {"names": f"{PREFIX.replace('_', chr(92) + '_')}{tag}%"}
        ).scalars()
        left = [name for name in names if re.fullmatch(rf"{PREFIX}{tag}_[0-9a-f]+", name)]
        dropped = []
        for name in left:
            with suppress(OperationalError):  # somebody proves in it, and has a connection to it
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
                dropped.append(name)
    return dropped


@contextmanager
def scratch_database(server: str, tag: str, *, search_path: str) -> Iterator[str]:
    """The URL of an empty database on a server, dropped at the end.

    search_path -- the source's, which a new database may have otherwise. Raises SQLAlchemy's errors. A database that
    cannot be dropped is left to the next `sweep`.
    """
    name = f"{PREFIX}{tag}_{secrets.token_hex(4)}"
    with _engine(server).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        url = make_url(read_database_url(server)).set(database=name)
        if "options" not in url.query:
            # Without blanks: SQLAlchemy writes them as +, which to libpq is a plus.
            url = url.update_query_dict({"options": f"-csearch_path={search_path.replace(', ', ',')}"})
        used = url.render_as_string(hide_password=False)
        with _engine(used).connect():  # so that no other run sweeps it away
            yield used
    finally:
        with suppress(SQLAlchemyError), _engine(server).connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _engine(url: str) -> Engine:
    engine = pool.single(url, application_name="ballast backup")
    return engine.execution_options(isolation_level="AUTOCOMMIT")
