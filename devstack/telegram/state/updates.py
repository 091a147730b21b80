"""The updates: made once, kept until the bot acknowledges them or they expire.

An update that a test sends again, or with an id of its own choosing, is `out_of_order`: no offset can
acknowledge it before it has been handed out once, otherwise a poller that is further on would never see it.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.errors import ControlError
from devstack.telegram.live import ChangeNotifier, Live
from devstack.telegram.state.store import Store

KEPT_SECONDS = 24 * 3600.0
QUERY_KEPT_SECONDS = 150.0
QUERY_KINDS = frozenset({"callback_query", "pre_checkout_query", "shipping_query"})
INLINE_KEPT_SECONDS = 30.0
IDLE_BEFORE_NEW_IDS_SECONDS = 7 * 24 * 3600.0

# Every kind of the Bot API 10.1; the three are only sent to a bot that names them.
NOT_BY_DEFAULT = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


@dataclass(frozen=True, slots=True)
class Update:
    seq: int
    update_id: int
    kind: str
    payload: dict[str, Any]
    queue: str
    created_at: float
    expires_at: float
    handed_out_count: int
    first_handed_out_at: float | None
    last_handed_out_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str | None

    def described(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "update_id": self.update_id,
            "kind": self.kind,
            "update": self.payload,
            "created_at": self.created_at,
            "handed_out_count": self.handed_out_count,
            "first_handed_out_at": self.first_handed_out_at,
            "last_handed_out_at": self.last_handed_out_at,
            "acknowledged_at": self.acknowledged_at,
            "acknowledged_by": self.acknowledged_by,
        }


class Updates:
    def __init__(self, store: Store, clock: Clock, live: Live) -> None:
        self._store = store
        self._clock = clock
        self._changed = live.changed
        self.arrived = ChangeNotifier()

    @property
    def allowed(self) -> list[str]:
        """The kinds the bot asked for; empty means the default ones."""
        allowed: list[str] = self._store.fact("allowed_updates") or []
        return allowed

    def allow(self, kinds: list[str]) -> None:
        if kinds != self.allowed:
            self._store.set_fact("allowed_updates", kinds)

    def wants(self, kind: str) -> bool:
        allowed = self.allowed
        return kind in allowed if allowed else kind not in NOT_BY_DEFAULT

    def add(self, kind: str, content: dict[str, Any], queue: str) -> int | None:
        """Queue an update; None when the bot does not want this kind. Returns its update_id."""
        if not self.wants(kind):
            return None
        update_id = self._draw_id()
        self._insert(update_id, kind, {"update_id": update_id, kind: content}, queue, out_of_order=False)
        return update_id

    def inject(self, raw: dict[str, Any]) -> int:
        """Queue a raw update as it is, well-formed or not, wanted or not.

        An update_id is added if it has none, or none that is a number.
        """
        given = raw.get("update_id")
        update_id = given if isinstance(given, int) else self._draw_id()
        kind = next((key for key in raw if key != "update_id"), "")
        self._insert(
            update_id,
            kind,
            raw if "update_id" in raw else {"update_id": update_id, **raw},
            f"raw:{update_id}",
            out_of_order=isinstance(given, int),
        )
        return update_id

    def redeliver(self, update_id: int) -> Update:
        """Queue an update that was there before once more, with the same id."""
        row = self._store.read_one(
            "SELECT * FROM updates WHERE update_id = ? ORDER BY seq LIMIT 1", update_id
        )
        if row is None:
            raise ControlError(404, f"there never was an update {update_id}")
        before = _update(row)
        self._insert(update_id, before.kind, before.payload, before.queue, out_of_order=True)
        return before

    def pending(self, limit: int, offset: int = 0) -> list[Update]:
        """Unacknowledged updates from `offset` on, oldest first; expired ones are dropped on the way."""
        self._expire()
        rows = self._store.read(
            "SELECT * FROM updates WHERE acknowledged_at IS NULL"
            " AND (update_id >= ? OR (out_of_order = 1 AND handed_out_count = 0)) ORDER BY seq LIMIT ?",
            offset,
            limit,
        )
        return [_update(row) for row in rows]

    def pending_count(self) -> int:
        self._expire()
        row = self._store.read_one("SELECT count(*) FROM updates WHERE acknowledged_at IS NULL")
        return 0 if row is None else int(row[0])

    def hand_out(self, updates: list[Update]) -> None:
        now = self._clock.now()
        self._store.write_many(
            "UPDATE updates SET handed_out_count = handed_out_count + 1, last_handed_out_at = ?,"
            " first_handed_out_at = coalesce(first_handed_out_at, ?) WHERE seq = ?",
            [(now, now, update.seq) for update in updates],
        )

    def acknowledge_below(self, offset: int) -> None:
        self._store.write(
            "UPDATE updates SET acknowledged_at = ?, acknowledged_by = 'offset' WHERE acknowledged_at IS NULL"
            " AND update_id < ? AND NOT (out_of_order = 1 AND handed_out_count = 0)",
            self._clock.now(),
            offset,
        )
        self._changed.ring()

    def keep_last(self, count: int) -> None:
        """What a negative offset does: all but the last `count` are forgotten."""
        self._store.write(
            "UPDATE updates SET acknowledged_at = ?, acknowledged_by = 'offset'"
            " WHERE acknowledged_at IS NULL AND seq NOT IN"
            " (SELECT seq FROM updates WHERE acknowledged_at IS NULL ORDER BY seq DESC LIMIT ?)",
            self._clock.now(),
            count,
        )

    def acknowledge(self, update: Update, by: str) -> None:
        self._store.write(
            "UPDATE updates SET acknowledged_at = ?, acknowledged_by = ? WHERE seq = ?",
            self._clock.now(),
            by,
            update.seq,
        )
        self._changed.ring()

    def drop_pending(self) -> None:
        self._store.write(
            "UPDATE updates SET acknowledged_at = ?, acknowledged_by = 'dropped'"
            " WHERE acknowledged_at IS NULL",
            self._clock.now(),
        )

    def listed(self, *, state: str, kind: str | None, after: int, limit: int) -> list[Update]:
        """For the auditor: updates with seq above `after`, by state pending, acknowledged or all."""
        wanted, values = ["seq > ?"], [after]
        more: list[Any] = []
        if state == "pending":
            wanted.append("acknowledged_at IS NULL")
        elif state == "acknowledged":
            wanted.append("acknowledged_at IS NOT NULL")
        if kind is not None:
            wanted.append("kind = ?")
            more.append(kind)
        rows = self._store.read(
            f"SELECT * FROM updates WHERE {' AND '.join(wanted)} ORDER BY seq LIMIT ?",  # noqa: S608 - parts above
            *values,
            *more,
            limit,
        )
        return [_update(row) for row in rows]

    def _draw_id(self) -> int:
        """Sequential from a random start, and from another one after a week without updates."""
        now = self._clock.now()
        last = self._store.read_one("SELECT created_at FROM updates ORDER BY seq DESC LIMIT 1")
        start = random.randint(100_000_000, 900_000_000)
        if last is not None and now - last["created_at"] > IDLE_BEFORE_NEW_IDS_SECONDS:
            self._store.set_counter("update_id", start)
            return start
        return self._store.next("update_id", start=start)

    def _insert(
        self, update_id: int, kind: str, payload: dict[str, Any], queue: str, *, out_of_order: bool
    ) -> None:
        now = self._clock.now()
        kept = KEPT_SECONDS
        if kind in QUERY_KINDS:
            kept = QUERY_KEPT_SECONDS
        elif kind == "inline_query":
            kept = INLINE_KEPT_SECONDS
        self._store.write(
            "INSERT INTO updates (update_id, kind, payload, queue, created_at, expires_at, out_of_order)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            update_id,
            kind,
            json.dumps(payload),
            queue,
            now,
            now + kept,
            out_of_order,
        )
        self.arrived.ring()

    def _expire(self) -> None:
        now = self._clock.now()
        due = self._store.read_one(
            "SELECT 1 FROM updates WHERE acknowledged_at IS NULL AND expires_at < ? LIMIT 1", now
        )
        if due is not None:
            self._store.write(
                "UPDATE updates SET acknowledged_at = ?, acknowledged_by = 'expired'"
                " WHERE acknowledged_at IS NULL AND expires_at < ?",
                now,
                now,
            )


def _update(row: sqlite3.Row) -> Update:
    return Update(
        seq=row["seq"],
        update_id=row["update_id"],
        kind=row["kind"],
        payload=json.loads(row["payload"]),
        queue=row["queue"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        handed_out_count=row["handed_out_count"],
        first_handed_out_at=row["first_handed_out_at"],
        last_handed_out_at=row["last_handed_out_at"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
    )
