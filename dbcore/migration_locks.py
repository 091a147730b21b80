"""Which tables a migration locks, how strongly and whether for long, read from its SQL. A test compares with what
PostgreSQL's own table of locks says while each of Ballast's migrations runs.

A migration that waits for a lock makes everybody else wait behind it. So it takes the locks that stop writers first,
all within LOCK_TIMEOUT_MS, and gives up and tries again (`patiently`) rather than wait longer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from psycopg2.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_delay, wait_random

from dbcore.collisions import Refused
from dbcore.sentences import Sentence, sentence

T = TypeVar("T")

LOCK_TIMEOUT_MS = 200
"""How long a migration waits for tables, and everybody else behind it."""

_AUTOVACUUM_GIVES_WAY_MS = 3_000
"""PostgreSQL's deadlock_timeout, which is a second, and more than that on a slow machine."""

_PAUSE_SECONDS = (0.4, 1.6)
"""Between two tries: at least twice as long as others may have waited."""

GIVE_UP_SECONDS = 120.0
"""After so many seconds of tries it fails."""

MODES = ("SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
"""Those of tables that a migration may take, the weakest first. All but the first stop writers, the last one readers
too.
"""


@dataclass(frozen=True, slots=True)
class TableLock:
    """long -- what takes the longer the larger the table is, while it is locked; empty: nothing."""

    table: str
    mode: str
    long: str = ""

    @property
    def stops_writers(self) -> bool:
        return self.mode != MODES[0]

    @property
    def stops_bot(self) -> bool:
        """Writers wait for as long as the table is large."""
        return self.stops_writers and bool(self.long) and self.table not in _FEW_ROWS


_FEW_ROWS = frozenset({"admin_actions", "provider_events", "system_accounts"})
"""Tables that stay small in every database, or that no release had before the one that changes them."""

_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|(?P<body>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*')|(?P<end>;)|(?P<other>\"[^\"]*\"|[^;'$/\-]+|.)",
    re.DOTALL,
)
_NAME = r'(?P<table>(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)'
_REFERENCES = re.compile(rf"\bREFERENCES {_NAME}", re.IGNORECASE)
_MADE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?{_NAME}", re.IGNORECASE)
_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?P<online>CONCURRENTLY )?(?:IF NOT EXISTS )?.*?\bON (?:ONLY )?{_NAME}",
    re.IGNORECASE,
)
_TRIGGER = re.compile(rf"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER .*? ON {_NAME}", re.IGNORECASE)
_ALTER = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?{_NAME} (?P<what>.*)", re.IGNORECASE)
_WHOLE = re.compile(
    r"(?:DROP TABLE (?:IF EXISTS )?|TRUNCATE (?:TABLE )?|DROP TRIGGER .*? ON |LOCK (?:TABLE )?|CLUSTER |VACUUM FULL )"
    rf"{_NAME}",
    re.IGNORECASE,
)
_LONG = (
    (r"ALTER (?:COLUMN )?\S+ (?:SET DATA )?TYPE\b", "writes the table anew"),
    (
        r"ADD (?:COLUMN )?(?!CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN).*\b(?:GENERATED|SERIAL|BIGSERIAL)\b",
        "writes the table anew",
    ),
    (
        r"ADD (?:COLUMN )?(?!CONSTRAINT).*\bDEFAULT (?:\w+\.)?(?:gen_random_uuid|random|clock_timestamp|nextval)\b",
        "writes the table anew",
    ),
    (r"SET NOT NULL\b", "reads the whole table"),
    (r"ADD (?:CONSTRAINT \S+ )?(?:PRIMARY KEY|UNIQUE)\b(?! USING)(?!.*USING INDEX)", "builds an index"),
    (r"ADD (?:CONSTRAINT \S+ )?(?:CHECK|FOREIGN KEY)\b(?!.*NOT VALID)", "reads the whole table"),
    (r"SET (?:LOGGED|UNLOGGED|TABLESPACE|ACCESS METHOD)\b", "writes the table anew"),
)


def locks_of(sql: str) -> list[TableLock]:
    """The locks that stop others on tables that were there before, the strongest of each table.

    sql -- statements as they are sent; names may have a schema, which is left off in what is returned.
    """
    statements = [*_statements(sql)]
    made = {_bare(found["table"]) for statement in statements if (found := _MADE.match(statement))}
    found_of: dict[str, list[TableLock]] = {}
    for statement in statements:
        for lock in _of_statement(statement):
            if lock.table not in made:
                found_of.setdefault(lock.table, []).append(lock)
    return [_together(found_of[table]) for table in sorted(found_of)]


def _together(locks: Sequence[TableLock]) -> TableLock:
    """The locks of one table in one transaction, which holds each of them to its end."""
    mode = max((lock.mode for lock in locks), key=MODES.index)
    return TableLock(locks[0].table, mode, next((lock.long for lock in locks if lock.long), ""))


def _of_statement(statement: str) -> Iterator[TableLock]:
    for referred in _REFERENCES.finditer(statement):
        yield TableLock(_bare(referred["table"]), "SHARE ROW EXCLUSIVE")
    if (index := _INDEX.match(statement)) is not None:
        mode = "SHARE UPDATE EXCLUSIVE" if index["online"] else "SHARE"
        yield TableLock(_bare(index["table"]), mode, "builds an index")
    elif (trigger := _TRIGGER.match(statement)) is not None:
        yield TableLock(_bare(trigger["table"]), "SHARE ROW EXCLUSIVE")
    elif (altered := _ALTER.match(statement)) is not None:
        yield _of_alter(_bare(altered["table"]), altered["what"])
    elif (whole := _WHOLE.match(statement)) is not None:
        yield TableLock(_bare(whole["table"]), "ACCESS EXCLUSIVE")


def _of_alter(table: str, what: str) -> TableLock:
    if re.match(r"VALIDATE CONSTRAINT\b", what, re.IGNORECASE):
        return TableLock(table, "SHARE UPDATE EXCLUSIVE", "reads the whole table")
    if re.match(r"(?:ENABLE|DISABLE) (?:ALWAYS |REPLICA )?TRIGGER\b", what, re.IGNORECASE):
        return TableLock(table, "SHARE ROW EXCLUSIVE")
    long = next((words for pattern, words in _LONG if re.search(pattern, what, re.IGNORECASE)), "")
    if re.match(r"ADD (?:CONSTRAINT \S+ )?FOREIGN KEY\b", what, re.IGNORECASE):
        return TableLock(table, "SHARE ROW EXCLUSIVE", long)
    return TableLock(table, "ACCESS EXCLUSIVE", long)


def _statements(sql: str) -> Iterator[str]:
    """Each in one line, without comments and without what is in quotes or in a function's body."""
    parts: list[str] = []
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            yield " ".join("".join(parts).split())
            parts = []
        else:
            parts.append("''" if token["body"] else token["other"] or " ")
    yield " ".join("".join(parts).split())


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def take_first(connection: Connection, schema: str | None, locks: Sequence[TableLock]) -> None:
    """Lock the tables that the migration will, in the order of their names, all within LOCK_TIMEOUT_MS.

    Raises OperationalError where somebody else has one of them.
    """
    # This lock stops no reader and no writer, held or waited for. It waits for autovacuum, which gives way after a
    # second, and would outlast a shorter wait however often it is repeated.
    _wait_at_most(connection, _AUTOVACUUM_GIVES_WAY_MS)
    for lock in locks:
        _lock(connection, schema, lock.table, MODES[0])
    until = time.monotonic() + LOCK_TIMEOUT_MS / 1000
    for lock in locks:
        _wait_at_most(connection, max(1, round(1000 * (until - time.monotonic()))))
        _lock(connection, schema, lock.table, lock.mode)
    _wait_at_most(connection, LOCK_TIMEOUT_MS)


def _wait_at_most(connection: Connection, milliseconds: int) -> None:
    connection.execute(
        text("SELECT set_config('lock_timeout', :timeout, true)"), {"timeout": f"{milliseconds}ms"}
    )


def _lock(connection: Connection, schema: str | None, table: str, mode: str) -> None:
    prefix = f'"{schema}".' if schema else ""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f'LOCK TABLE {prefix}"{table}" IN {mode} MODE')
    except ProgrammingError as error:
        # Before PostgreSQL 17 it takes a right to change rows, which append-only tables deny their owner too. The
        # migration's own statement takes the lock then, and waits no longer.
        if not isinstance(error.orig, InsufficientPrivilege):
            raise


def patiently(engine: Engine, what: str, step: Callable[[], T]) -> T:
    """A step in a transaction of its own, again and again while somebody holds what it would lock.

    what -- such as `migration 0016`. Raises Refused after GIVE_UP_SECONDS, and what else the step raises.
    """
    tries = Retrying(
        retry=retry_if_exception(_is_held_up),
        wait=wait_random(*_PAUSE_SECONDS),
        stop=stop_after_delay(GIVE_UP_SECONDS),
    )
    try:
        return tries(step)
    except RetryError as given_up:
        raise Refused(
            sentence(
                "{migration}: a table that it changes was never free for {milliseconds} ms within {seconds} s.",
                migration=what,
                milliseconds=str(LOCK_TIMEOUT_MS),
                seconds=round(GIVE_UP_SECONDS),
            ),
            *_oldest_transaction(engine),
            sentence(
                "Nothing of it was applied, and nobody had to wait longer than that. Run it again in a quieter moment: "
                "it goes on from there"
            ),
        ) from given_up


def _is_held_up(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, LockNotAvailable | DeadlockDetected)


def _oldest_transaction(engine: Engine) -> Sequence[Sentence]:
    """None if there is none."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::bigint "
                "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1"
            )
        ).one_or_none()
    if row is None:
        return ()
    pid, name, seconds = row
    who = Sentence("{pid} ({name})", {"pid": str(pid), "name": name or sentence("without a name")})
    return [
        sentence("The oldest transaction is of process {who}, for {seconds} s.", who=who, seconds=seconds)
    ]
