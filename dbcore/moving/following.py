"""A new connection leads to where the database is now.

PostgreSQL tells each connection whether its transactions are read-only by default (since version 14), without being
asked. Only then is the notice looked for (notice.py); so a connection to a database that was not moved costs nothing
more. A process whose connections are from before the move finds its writes refused, and its next connection finds the
notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2

from dbcore.guard import deadline
from dbcore.moving import notice, whereabouts
from dbcore.moving.refusal import REFUSAL

MOVES_MAX = 5
"""A database may have been moved more than once since its first address was configured."""

UNMOVED_SECONDS = 30.0
"""A server that is read-only and has no notice is not looked at again for so long: it is one in trouble."""

Connect = Callable[[Any, dict[str, Any]], deadline.Connection]

_unmoved: dict[str, float] = {}


def connected(
    connect: Connect,
    url: str,
    arguments: Any,
    parameters: dict[str, Any],
    elsewhere: Callable[[str], Mapping[str, Any]],
    schema: str | None,
) -> deadline.Connection:
    """A connection to the database of `url`, wherever that is by now.

    parameters -- of the driver for `url` itself; elsewhere -- gives those for another address.
    Raises like the driver, and MovedAway.
    """
    for _ in range(MOVES_MAX):
        now = whereabouts.current(url)
        connection = connect(arguments, parameters if now == url else dict(elsewhere(now)))
        if whereabouts.is_as_given() or not follow(connection, now, schema):
            return connection
        connection.close()
    raise notice.MovedAway("the database was moved in a circle: set DATABASE_URL to where it is")


def follow(connection: Any, url: str, schema: str | None) -> bool:
    """Whether the database at `url` was moved; then this process knows where to. The connection is psycopg2's, fresh.

    Raises MovedAway if the new address cannot be opened.
    """
    if connection.get_parameter_status("default_transaction_read_only") != "on":
        return False
    if time.monotonic() < _unmoved.get(url, 0.0):
        return False
    try:
        found = notice.read(connection, schema)
    except psycopg2.Error:
        connection.close()
        raise
    if found is None:
        _unmoved[url] = time.monotonic() + UNMOVED_SECONDS
        return False
    try:
        notice.follow(found, url)
    except notice.MovedAway:
        connection.close()
        raise
    return True


def refuse_moved(connection: Any) -> None:
    """For an engine whose address is another library's matter. Raises MovedAway if the database was moved."""
    if connection.get_parameter_status("default_transaction_read_only") != "on":
        return
    found = notice.read(connection)
    if found is not None:
        connection.close()
        raise notice.MovedAway(f"{REFUSAL} {found.moved_to}: set the engine's URL to it and start anew")
