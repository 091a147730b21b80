"""Telegram's own book of the bot's Stars, beside the bot's."""

from __future__ import annotations

from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.state.store import Store


class Stars:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def book(self, *, charge_id: str, user_id: int, stars: int, payload: str, is_refund: bool) -> None:
        """Once for each charge, and once for its refund: a payment that is only said again is none."""
        self._store.write(
            "INSERT OR IGNORE INTO star_transactions (charge_id, user_id, stars, payload, is_refund, date)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            charge_id,
            user_id,
            stars,
            payload,
            int(is_refund),
            self._clock.date(),
        )

    def paid(self, charge_id: str) -> dict[str, Any] | None:
        return self._find(charge_id, is_refund=False)

    def is_refunded(self, charge_id: str) -> bool:
        return self._find(charge_id, is_refund=True) is not None

    def transactions(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """Oldest first."""
        rows = self._store.read(
            "SELECT * FROM star_transactions ORDER BY place LIMIT ? OFFSET ?", limit, offset
        )
        return [dict(row) for row in rows]

    def balance(self) -> int:
        row = self._store.read_one(
            "SELECT coalesce(sum(CASE WHEN is_refund THEN -stars ELSE stars END), 0) AS total"
            " FROM star_transactions"
        )
        return 0 if row is None else int(row["total"])

    def _find(self, charge_id: str, *, is_refund: bool) -> dict[str, Any] | None:
        row = self._store.read_one(
            "SELECT * FROM star_transactions WHERE charge_id = ? AND is_refund = ?", charge_id, int(is_refund)
        )
        return None if row is None else dict(row)
