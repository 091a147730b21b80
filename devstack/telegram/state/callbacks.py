"""The presses of inline buttons, each waiting a short while for its answer."""

from __future__ import annotations

import json
import random
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.live import Live
from devstack.telegram.state.store import Store

# Not documented; in practice answers fail after about this long.
ANSWER_WITHIN_SECONDS = 15.0


class CallbackQueries:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._live = live

    def add(self, *, user_id: int, chat_id: int, message_id: int, data: str) -> str:
        query_id = str(random.randint(10**17, 10**18 - 1))
        self._store.write(
            "INSERT INTO callback_queries (id, user_id, chat_id, message_id, data, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            query_id,
            user_id,
            chat_id,
            message_id,
            data,
            self._clock.now(),
        )
        return query_id

    def answer(self, query_id: str, answer: dict[str, Any]) -> bool:
        """Keep the bot's answer and show it to the user; False when it is too late or no such query waits."""
        now = self._clock.now()
        touched = self._store.write(
            "UPDATE callback_queries SET answered_at = ?, answer = ?"
            " WHERE id = ? AND answered_at IS NULL AND created_at >= ?",
            now,
            json.dumps(answer),
            query_id,
            now - ANSWER_WITHIN_SECONDS,
        )
        if not touched:
            return False
        query = self.get(query_id)
        if query is not None:
            self._live.tell(
                "callback_answer", user_id=query["user_id"], chat_id=query["chat_id"], query=query
            )
        return True

    def get(self, query_id: str) -> dict[str, Any] | None:
        row = self._store.read_one("SELECT * FROM callback_queries WHERE id = ?", query_id)
        if row is None:
            return None
        return {**dict(row), "answer": None if row["answer"] is None else json.loads(row["answer"])}

    def listed(self, chat_id: int, limit: int) -> list[dict[str, Any]]:
        rows = self._store.read(
            "SELECT * FROM callback_queries WHERE chat_id = ? ORDER BY created_at, rowid LIMIT ?",
            chat_id,
            limit,
        )
        return [
            {**dict(row), "answer": None if row["answer"] is None else json.loads(row["answer"])}
            for row in rows
        ]
