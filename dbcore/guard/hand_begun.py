"""The driver's connection of the guarded engine: it can begin transactions by hand, and tells how they end.

psycopg2 sends BEGIN as a message of its own, and SQLAlchemy's events of each statement take longer than the rest of the
guard. So the connection stays in psycopg2's autocommit; the BEGIN, with the time limits of the transaction, goes in one
message with its first statement, and what is to be recorded with COMMIT in one message with that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from psycopg2 import errors, extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from dbcore.guard import deadline


class Connection(deadline.Connection):
    """What its present user set is forgotten when it goes back to the pool, by `forget_user`."""

    opener: Callable[[], str] | None = None
    """Says by which BEGIN, and what follows it, the next transaction begins. `commit()` and `rollback()` end it. It is
    for autocommit, where psycopg2 adds no BEGIN of its own.
    """
    opened_by_hand = False
    """Such a transaction was begun, and not ended by us."""
    refuse_end: Callable[[str], NoReturn] | None = None
    """Raises, for a statement that begins or ends a transaction, before it is sent."""
    on_commit: Callable[[], None] | None = None
    """Called before a COMMIT is sent, and after a statement that left no transaction open."""
    commit_by: tuple[str, tuple[Any, ...]] | None = None
    """Statements to send in front of the next COMMIT, in one message with it, and their parameters."""
    committing = False
    """`commit()` was called, and has not ended well."""
    commits = 0
    """How many transactions that were opened by hand are committed for sure."""
    keeps_session = False
    """No statement since it was set can have changed the server's session beyond its transaction."""

    def forget_user(self) -> None:
        """As new, for the next one who gets it."""
        self.until = deadline.Connection.until
        self.keeps_session = self.opened_by_hand = self.committing = False
        self.opener = self.refuse_end = self.on_commit = self.commit_by = None

    def open_now(self) -> None:
        """Begin, where the next statement would, in a message of its own: for what cannot share one."""
        if self.opener is not None and not self.opened_by_hand:
            with super().cursor() as cursor:
                cursor.execute("")

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        if self.opener is not None and (
            arguments or options
        ):  # a named cursor, or a class of the caller's own
            self.open_now()
            self.keeps_session = False
            if self.autocommit:
                self.autocommit = (
                    False  # psycopg2 refuses a named cursor otherwise; its own BEGIN is one too many
                )
        return super().cursor(*arguments, **options)

    @property
    def in_transaction(self) -> bool:
        return self.opened_by_hand or not self.autocommit

    def commit(self) -> None:
        if self.on_commit is not None and self.in_transaction:
            self.on_commit()
        self.committing = True
        if self.opened_by_hand:
            with deadline.committing():
                self._end("COMMIT")
        if not self.autocommit:
            super().commit()
        self.committing = False

    def rollback(self) -> None:
        self.commit_by, self.committing = None, False
        if self.opened_by_hand and not self.closed:
            self._end("ROLLBACK")
        if not self.autocommit or self.closed:
            super().rollback()

    def _end(self, how: str) -> None:
        ended = how
        if self.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            before, parameters = self.commit_by or ("", ())
            # Past what is done about a statement of the user's.
            with super().cursor(cursor_factory=deadline.Cursor) as cursor:
                cursor.execute(f"{before}; {how}" if before else how, parameters or None)
                ended = cursor.statusmessage or ""
            self.commits += ended == "COMMIT"
        self.opened_by_hand, self.commit_by = False, None
        if ended != how:
            raise errors.InFailedSqlTransaction(
                "nothing was committed: a statement of the transaction failed, and it went on all the same; "
                "put what may fail inside begin_nested()"
            )


class Cursor(deadline.Cursor):
    """Of such a connection."""

    def execute(self, query: Any, vars: Any = None) -> None:
        connection: Connection = self.connection  # type: ignore[assignment]
        if connection.opener is not None:
            query = _in_hand(connection, query)
        super().execute(query, vars)
        if connection.on_commit is not None:
            self._look_for_end(connection)

    def executemany(self, query: Any, vars_list: Any) -> None:
        connection: Connection = self.connection  # type: ignore[assignment]
        if connection.opener is not None:
            connection.open_now()
            _in_hand(connection, query)
        super().executemany(query, vars_list)
        if connection.on_commit is not None:
            self._look_for_end(connection)

    def _look_for_end(self, connection: Connection) -> None:
        """COMMIT as a statement of the caller's own, and AUTOCOMMIT that they asked for."""
        idle = connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
        if idle and self.statusmessage != "ROLLBACK" and connection.on_commit is not None:
            connection.on_commit()

    def copy_expert(self, *arguments: Any, **options: Any) -> None:
        self._open_now()
        super().copy_expert(*arguments, **options)

    def copy_from(self, *arguments: Any, **options: Any) -> None:
        self._open_now()
        super().copy_from(*arguments, **options)

    def copy_to(self, *arguments: Any, **options: Any) -> None:
        self._open_now()
        super().copy_to(*arguments, **options)

    def callproc(self, *arguments: Any, **options: Any) -> Any:
        self._open_now().keeps_session = False
        return super().callproc(*arguments, **options)

    def _open_now(self) -> Connection:
        connection: Connection = self.connection  # type: ignore[assignment]
        connection.open_now()
        return connection


_TOUCHES_SESSION = re.compile(
    r"(?:^|;|\*/|\n)\s*(?:set|reset|listen|unlisten|prepare|deallocate|declare|load|discard|call|do|execute)\b"
    r"|set_config|setseed|advisory|\btemp\b|\btemporary\b|pg_temp|dblink",
    re.IGNORECASE,
)
_BEGINS_OR_ENDS = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
    r"(?:commit|end|abort|begin|rollback(?!\s+(?:work\s+|transaction\s+)?to\b)|(?:start|prepare)\s+transaction)\b",
    re.IGNORECASE | re.DOTALL,
)


@lru_cache(maxsize=2_000)
def _concerns(statement: str) -> tuple[bool, bool]:
    """Whether it may change the session beyond its transaction, and whether it begins or ends a transaction."""
    return bool(_TOUCHES_SESSION.search(statement)), bool(_BEGINS_OR_ENDS.match(statement))


def _in_hand(connection: Connection, query: Any) -> Any:
    """A statement where transactions are opened by hand, with the BEGIN in front of it if it is the first of one."""
    if not isinstance(query, str):
        connection.open_now()
        connection.keeps_session = False
        return query
    touches, ends = _concerns(query)
    if touches:
        connection.keeps_session = False
    if ends and connection.refuse_end is not None:
        connection.refuse_end(query)
    if connection.opened_by_hand or connection.opener is None:
        return query
    opening = connection.opener()
    connection.opened_by_hand = True
    return f"{opening};\n{query}"


FACTORIES: dict[str, type[extensions.connection] | type[extensions.cursor]] = {
    "connection_factory": Connection,
    "cursor_factory": Cursor,
}
"""As `psycopg2.connect` takes them."""
