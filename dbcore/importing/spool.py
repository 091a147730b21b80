"""What was read from a source, in a temporary SQLite file: memory does not grow with the size of the source.

It finds what cannot be seen in one row: a person who occurs twice, a movement of an unknown person, a history that
cannot have led to its balance.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from types import TracebackType
from typing import Any, Self

from dbcore.importing.sources import SourceError
from dbcore.sentences import sentence

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE person (
    telegram_id INTEGER PRIMARY KEY, line INTEGER, balance INTEGER, username TEXT, first_name TEXT, language_code TEXT,
    registered_at TEXT, status TEXT, stopped INTEGER, owed INTEGER
);
CREATE INDEX person_username ON person (lower(username)) WHERE username IS NOT NULL;
CREATE TABLE movement (
    id TEXT PRIMARY KEY, line INTEGER, telegram_id INTEGER, amount INTEGER, made_at TEXT, memo TEXT
);
CREATE INDEX movement_person ON movement (telegram_id, made_at);
"""
_SHARED_NAMES = """
UPDATE person SET username = NULL WHERE lower(username) IN
    (SELECT lower(username) FROM person WHERE username IS NOT NULL GROUP BY lower(username) HAVING count(*) > 1)
"""
_STRANGERS = """
SELECT line, telegram_id FROM movement WHERE telegram_id NOT IN (SELECT telegram_id FROM person) ORDER BY line
"""
# The opening balance is what the movements leave unexplained. From there no moment may lie below zero.
_BELOW_ZERO = """
SELECT line, telegram_id, lowest FROM (
    SELECT p.line, p.telegram_id, p.balance - m.total + min(0, m.lowest) AS lowest
      FROM person p JOIN (
        SELECT telegram_id, max(total) AS total, min(running) AS lowest FROM (
            SELECT telegram_id, sum(amount) OVER (PARTITION BY telegram_id) AS total,
                   sum(amount) OVER (PARTITION BY telegram_id ORDER BY made_at, rowid
                                     ROWS UNBOUNDED PRECEDING) AS running
              FROM movement)
         GROUP BY telegram_id) m USING (telegram_id)
     WHERE p.balance IS NOT NULL)
 WHERE lowest < 0 ORDER BY line
"""

_TOTALS = """
SELECT count(*), coalesce(sum(balance), 0), count(*) FILTER (WHERE owed > 0), coalesce(sum(owed), 0) FROM person
"""
_BATCH = """
SELECT person.*, (SELECT count(*) FROM movement WHERE movement.telegram_id = person.telegram_id)
  FROM person WHERE telegram_id > ? ORDER BY telegram_id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Person:
    """A person as the source has them.

    balance -- minor units; None if the source has no balances.
    registered_at -- ISO 8601 in UTC. status -- one of values.STATUSES.
    owed -- minor units that a negative balance was set to 0 by; never negative.
    """

    telegram_id: int
    line: int
    balance: int | None
    username: str | None
    first_name: str | None
    language_code: str | None
    registered_at: str | None
    status: str | None
    stopped: bool | None
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """A change of a person's balance. made_at -- ISO 8601 in UTC, all of one length."""

    id: str
    line: int
    telegram_id: int
    amount: int
    made_at: str
    memo: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    people: int
    balance: int
    negative: int
    owed: int


class Spool:
    """A temporary database, which SQLite removes by itself, also after kill -9."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add_person(self, person: Person) -> int | None:
        """The line that had them before, if one did. Then this one is not kept."""
        return self._add("person", "telegram_id", person.telegram_id, astuple(person))

    def add_movement(self, movement: Movement) -> int | None:
        """The line that had this ID before, if one did. Then this one is not kept."""
        return self._add("movement", "id", movement.id, astuple(movement))

    def _add(self, table: str, key: str, value: object, row: Sequence[Any]) -> int | None:
        places = ", ".join("?" * len(row))
        done = self._database.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)  # noqa: S608
        if done.rowcount:
            return None
        (line,) = self._database.execute(f"SELECT line FROM {table} WHERE {key} = ?", (value,)).fetchone()  # noqa: S608
        return int(line)

    def drop_shared_usernames(self) -> int:
        """A username has one holder, and the source does not know who of several it is. How many people lose theirs."""
        return self._database.execute(_SHARED_NAMES).rowcount

    def movements_of_strangers(self) -> Iterator[tuple[int, int]]:
        """Line and Telegram ID of each."""
        yield from self._rows(_STRANGERS)

    def histories_below_zero(self) -> Iterator[tuple[int, int, int]]:
        """Line and Telegram ID of the person, and the lowest balance that their movements lead to."""
        yield from self._rows(_BELOW_ZERO)

    def drop_history(self, telegram_id: int) -> None:
        self._database.execute("DELETE FROM movement WHERE telegram_id = ?", (telegram_id,))

    def totals(self) -> Totals:
        """Raises SourceError if they are more than a bigint holds, which the ledger's sums are."""
        (row,) = self._rows(_TOTALS)
        return Totals(*row)

    def batches(self, people_max: int, movements_max: int) -> Iterator[tuple[list[Person], list[Movement]]]:
        """All people in the order of their IDs, with their movements in the order of time.

        At most `people_max` people, and `movements_max` movements unless one person has more.
        """
        last = 0
        while rows := list(self._rows(_BATCH, last, people_max)):
            people: list[Person] = []
            total = 0
            for *person, movements in rows:
                total += movements
                if people and total > movements_max:
                    break
                people.append(Person(*person))
            yield people, self._movements(people[0].telegram_id, people[-1].telegram_id)
            last = people[-1].telegram_id

    def _movements(self, first: int, last: int) -> list[Movement]:
        return [
            Movement(*row)
            for row in self._rows(
                "SELECT * FROM movement WHERE telegram_id BETWEEN ? AND ? ORDER BY telegram_id, made_at, rowid",
                first,
                last,
            )
        ]

    def _rows(self, statement: str, *parameters: object) -> Iterator[Any]:
        try:
            with closing(self._database.execute(statement, parameters)) as rows:
                yield from rows
        except sqlite3.OperationalError as error:
            if str(error) != "integer overflow":
                raise
            raise SourceError(
                sentence("expected sums of at most {most} minor units, found more", most=str(2**63 - 1))
            ) from None
