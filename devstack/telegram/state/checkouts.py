"""Invoices, and the questions before a payment, each waiting ten seconds for its one answer."""

from __future__ import annotations

import json
import random
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.live import Live
from devstack.telegram.state.store import Store

ANSWER_WITHIN_SECONDS = 10.0


class Checkouts:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._live = live

    def keep_invoice(self, message_id: int, payload: str) -> None:
        """What the bot wants to be told of who pays it; the message itself does not have it."""
        self._store.write("INSERT INTO invoices (message_id, payload) VALUES (?, ?)", message_id, payload)

    def invoice_payload(self, message_id: int) -> str | None:
        row = self._store.read_one("SELECT payload FROM invoices WHERE message_id = ?", message_id)
        return None if row is None else str(row["payload"])

    def add(self, *, user_id: int, currency: str, total_amount: int, payload: str) -> str:
        query_id = str(random.randint(10**17, 10**18 - 1))
        self._store.write(
            "INSERT INTO checkouts (id, user_id, currency, total_amount, payload, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            query_id,
            user_id,
            currency,
            total_amount,
            payload,
            self._clock.now(),
        )
        return query_id

    def answer(self, query_id: str, answer: dict[str, Any]) -> bool:
        """Keep the bot's answer; False when it is too late, was given before, or no such question waits."""
        now = self._clock.now()
        touched = self._store.write(
            "UPDATE checkouts SET answered_at = ?, answer = ?"
            " WHERE id = ? AND answered_at IS NULL AND created_at >= ?",
            now,
            json.dumps(answer),
            query_id,
            now - ANSWER_WITHIN_SECONDS,
        )
        if touched:
            self._live.changed.ring()
        return bool(touched)

    def get(self, query_id: str) -> dict[str, Any] | None:
        row = self._store.read_one("SELECT * FROM checkouts WHERE id = ?", query_id)
        if row is None:
            return None
        return {**dict(row), "answer": None if row["answer"] is None else json.loads(row["answer"])}
