"""The SQLite file: reads, writes, and one commit for all that one turn of the event loop wrote.

Whoever answers a request first waits for `committed()`, so what somebody was told survives a kill -9.
synchronous is off: the file is in the kernel's hands then, and only a crash of the machine could lose it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

from devstack.telegram.state.schema import EMPTIED_BY_RESET, SCHEMA, SET_BY_THE_BOT


class StoreInUseError(Exception):
    """Another local Telegram has this data directory open."""


class Store:
    """All state of one local Telegram. To be used from its event loop only."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.files_dir = data_dir / "files"
        self.files_dir.mkdir(exist_ok=True)
        path = data_dir / "telegram.sqlite3"
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        self._connection.row_factory = sqlite3.Row
        self._commit: asyncio.Future[None] | None = None
        try:
            # Exclusive: two servers on one directory would hand out the same ids.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise StoreInUseError(f"--data: {path} is in use by another local Telegram ({error})") from error

    def read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(sql, values).fetchall()

    def read_one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def write(self, sql: str, *values: Any) -> int:
        """Run one writing statement; returns how many rows it touched."""
        self._begin()
        return self._connection.execute(sql, values).rowcount

    def write_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self._begin()
        self._connection.executemany(sql, rows)

    def insert(self, sql: str, *values: Any) -> int:
        """Run one INSERT; returns the new row's id."""
        self._begin()
        row_id = self._connection.execute(sql, values).lastrowid
        return row_id if row_id is not None else 0

    def next(self, counter: str, start: int = 1, step: int = 1) -> int:
        """The next number of a counter that survives restarts and resets."""
        self._begin()
        row = self._connection.execute(
            "INSERT INTO counters (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + ? RETURNING value",
            (counter, start, step),
        ).fetchone()
        return int(row[0])

    def set_counter(self, counter: str, value: int) -> None:
        self.write("INSERT OR REPLACE INTO counters (name, value) VALUES (?, ?)", counter, value)

    def fact(self, name: str) -> Any:
        """A small JSON value kept under a name; None when there is none."""
        row = self.read_one("SELECT value FROM facts WHERE name = ?", name)
        return None if row is None else json.loads(row["value"])

    def set_fact(self, name: str, value: Any) -> None:
        self.write("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, json.dumps(value))

    async def committed(self) -> None:
        """Return when everything written so far is in the file."""
        if self._commit is not None:
            await asyncio.shield(self._commit)

    def reset(self, *, bot_settings: bool) -> None:
        """Empty it; `bot_settings` also forgets webhook, allowed updates and commands."""
        self.write("DELETE FROM facts WHERE name = 'demo_people_added'")
        for table in EMPTIED_BY_RESET + (SET_BY_THE_BOT if bot_settings else ()):
            self.write(f"DELETE FROM {table}")  # noqa: S608 - names from our own list

    def commit(self) -> None:
        """Commit now; what is written before the event loop runs has nobody else to do it."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
        if self._commit is not None and not self._commit.done():
            self._commit.set_result(None)
        self._commit = None

    def close(self) -> None:
        self.commit()
        self._connection.close()

    def _begin(self) -> None:
        if self._connection.in_transaction:
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the server does not run yet; whoever builds it commits
        self._commit = loop.create_future()
        loop.call_soon(self.commit)
