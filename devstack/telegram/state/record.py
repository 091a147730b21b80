"""The ground truth: every request the bot made, what it was told, and whether it took effect."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from devstack.telegram.state.store import Store

# How a request ended. `reset` and `hung` say what the bot saw, `took_effect` what Telegram did.
OUTCOMES = ("ok", "error", "reset", "hung")


class Record:
    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        *,
        method: str,
        chat_id: int | None,
        params: dict[str, Any],
        started_at: float,
        finished_at: float,
        outcome: str,
        took_effect: bool,
        error_code: int | None = None,
        description: str | None = None,
        message_id: int | None = None,
        fault_id: int | None = None,
        fault_kind: str | None = None,
    ) -> None:
        self._store.insert(
            "INSERT INTO requests (method, chat_id, params, started_at, finished_at, outcome, error_code,"
            " description, took_effect, message_id, fault_id, fault_kind)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            method,
            chat_id,
            json.dumps(params),
            started_at,
            finished_at,
            outcome,
            error_code,
            description,
            took_effect,
            message_id,
            fault_id,
            fault_kind,
        )

    def listed(
        self,
        *,
        method: str | None,
        chat_id: int | None,
        outcome: str | None,
        took_effect: bool | None,
        after: int,
        limit: int,
    ) -> list[dict[str, Any]]:
        wanted: list[str] = ["id > ?"]
        values: list[Any] = [after]
        for column, value in (
            ("method", method),
            ("chat_id", chat_id),
            ("outcome", outcome),
            ("took_effect", took_effect),
        ):
            if value is not None:
                wanted.append(f"{column} = ?")
                values.append(value)
        rows = self._store.read(
            f"SELECT * FROM requests WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?",  # noqa: S608 - columns above
            *values,
            limit,
        )
        return [_described(row) for row in rows]

    def counts(self) -> list[dict[str, Any]]:
        rows = self._store.read(
            "SELECT method, outcome, error_code, took_effect, count(*) AS count FROM requests"
            " GROUP BY method, outcome, error_code, took_effect ORDER BY method, count DESC"
        )
        return [{**dict(row), "took_effect": bool(row["took_effect"])} for row in rows]


def _described(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "params": json.loads(row["params"]), "took_effect": bool(row["took_effect"])}
