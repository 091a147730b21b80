"""Telegram's own book of the bot's Stars, beside the bot's.

A transaction of which the bot is told nothing has a `partner`, as the Bot API describes it. `is_refund` is then whether
Stars went out.
"""

from __future__ import annotations

import json
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.state.store import Store

NANOSTARS = 10**9


class Stars:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def book(self, *, charge_id: str, user_id: int, stars: int, payload: str, is_refund: bool) -> None:
        """Once for each charge, and once for its refund: a payment that is only said again is none."""
        self._add(charge_id, user_id, stars, 0, payload, None, is_refund)

    def book_other(
        self, *, transaction_id: str, stars: int, nanostars: int, partner: dict[str, Any], is_outgoing: bool
    ) -> bool:
        """Any other transaction, such as a withdrawal; whether there was none of this id."""
        told = json.dumps(partner)
        return self._add(transaction_id, None, stars, nanostars, "", told, is_outgoing) > 0

    def _add(
        self,
        charge_id: str,
        user_id: int | None,
        stars: int,
        nanostars: int,
        payload: str,
        partner: str | None,
        is_refund: bool,
    ) -> int:
        return self._store.write(
            "INSERT OR IGNORE INTO star_transactions"
            " (charge_id, user_id, stars, nanostars, payload, partner, is_refund, date)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            charge_id,
            user_id,
            stars,
            nanostars,
            payload,
            partner,
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
        return [
            {**dict(row), "partner": None if row["partner"] is None else json.loads(row["partner"])}
            for row in rows
        ]

    def balance(self) -> tuple[int, int]:
        """Stars, and billionths of one."""
        sign = "CASE WHEN is_refund THEN -1 ELSE 1 END"
        row = self._store.read_one(
            f"SELECT coalesce(sum({sign} * stars), 0) AS stars, coalesce(sum({sign} * nanostars), 0) AS nanostars"  # noqa: S608
            " FROM star_transactions"
        )
        total = 0 if row is None else int(row["stars"]) * NANOSTARS + int(row["nanostars"])
        return total // NANOSTARS, total % NANOSTARS

    def _find(self, charge_id: str, *, is_refund: bool) -> dict[str, Any] | None:
        row = self._store.read_one(
            "SELECT * FROM star_transactions WHERE charge_id = ? AND is_refund = ? AND partner IS NULL",
            charge_id,
            int(is_refund),
        )
        return None if row is None else dict(row)
