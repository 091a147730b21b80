"""Invoice links, and the subscriptions that people have by those that are renewed."""

from __future__ import annotations

from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.state.store import Store


class Subscriptions:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def keep_link(
        self, link: str, *, title: str, payload: str, currency: str, total_amount: int, period: int | None
    ) -> None:
        self._store.write(
            "INSERT INTO invoice_links (link, title, payload, currency, total_amount, period)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            link,
            title,
            payload,
            currency,
            total_amount,
            period,
        )

    def link(self, link: str) -> dict[str, Any] | None:
        row = self._store.read_one("SELECT * FROM invoice_links WHERE link = ?", link)
        return None if row is None else dict(row)

    def find(self, user_id: int, link: str) -> dict[str, Any] | None:
        row = self._store.read_one(
            "SELECT * FROM subscriptions WHERE user_id = ? AND link = ?", user_id, link
        )
        return None if row is None else self._described(dict(row))

    def of_charge(self, charge_id: str) -> dict[str, Any] | None:
        row = self._store.read_one(
            "SELECT s.* FROM subscription_charges c JOIN subscriptions s ON s.id = c.subscription_id"
            " WHERE c.charge_id = ?",
            charge_id,
        )
        return None if row is None else self._described(dict(row))

    def of_user(self, user_id: int) -> list[dict[str, Any]]:
        rows = self._store.read("SELECT * FROM subscriptions WHERE user_id = ? ORDER BY id", user_id)
        return [self._described(dict(row)) for row in rows]

    def period_of(self, charge_id: str) -> int | None:
        row = self._store.read_one("SELECT period FROM subscription_charges WHERE charge_id = ?", charge_id)
        return None if row is None else int(row["period"])

    def charge(self, user_id: int, link: str, charge_id: str, period: int) -> int:
        """Begin it, or pay for one period more; until when it is paid then."""
        known, now = self.find(user_id, link), self._clock.date()
        begins = now if known is None or not known["is_active"] else known["until_date"]
        self._store.write(
            "INSERT INTO subscriptions (user_id, link, until_date) VALUES (?, ?, ?)"
            " ON CONFLICT (user_id, link) DO UPDATE SET until_date = excluded.until_date, canceled = 0",
            user_id,
            link,
            begins + period,
        )
        kept = self.find(user_id, link)
        assert kept is not None  # noqa: S101  just written
        self._store.write(
            "INSERT INTO subscription_charges (charge_id, subscription_id, period) VALUES (?, ?, ?)",
            charge_id,
            kept["id"],
            period,
        )
        return int(kept["until_date"])

    def turn(self, subscription_id: int, *, canceled: bool) -> None:
        """By its person."""
        self._store.write(
            "UPDATE subscriptions SET canceled = ? WHERE id = ?", int(canceled), subscription_id
        )

    def turn_by_bot(self, subscription_id: int, *, canceled: bool) -> None:
        """Cancelled so, its person cannot turn it on again; allowed again, they can."""
        self._store.write(
            "UPDATE subscriptions SET bot_canceled = ?, canceled = max(canceled, ?) WHERE id = ?",
            int(canceled),
            int(canceled),
            subscription_id,
        )

    def _described(self, row: dict[str, Any]) -> dict[str, Any]:
        flags = {name: bool(row[name]) for name in ("canceled", "bot_canceled")}
        return {**row, **flags, "is_active": row["until_date"] > self._clock.date()}
