"""Whom a broadcast reaches: the lists that its segment names, who gets which of two texts, and all of them as CSV."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ballast.apps.installed import INSTALLED
from ballast.operators.csv_text import Table
from dbcore.broadcasts import broadcasts, segments
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.broadcasts.deliveries import Delivery
from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import sentence

A, B = "a", "b"
"""The texts of an A/B test."""

RECIPIENT_COLUMNS = ("telegram_id", "status", "error", "sent_at")


def listed(engine: GuardedEngine, parts: Mapping[str, Any]) -> list[int] | None:
    """The Telegram IDs that are in all lists of a segment; None where it names none. Raises BroadcastRefused."""
    queries = []
    if "sql" in parts:
        queries.append(parts["sql"])
    if "app" in parts:
        query = INSTALLED.segments.get(parts["app"])
        if query is None:
            raise BroadcastRefused(sentence("no app has the segment {name}", name=str(parts["app"])))
        queries.append(query())
    if not queries:
        return None
    found = [segments.listed(engine, query) for query in queries]
    return found[0] if len(found) == 1 else sorted(set(found[0]) & set(found[1]))


def audience_size(engine: GuardedEngine, parts: Mapping[str, Any]) -> int:
    """How many people a broadcast to this segment would reach now. Raises BroadcastRefused."""
    return broadcasts.audience_size(engine, parts, listed(engine, parts))


def variant_of(broadcast_id: int, user_id: int) -> str:
    """By chance, and the same whenever it is asked; deliveries.py counts by the same rule."""
    return B if hashlib.sha256(f"{broadcast_id}:{user_id}".encode()).digest()[0] % 2 else A


def payload_of(payload: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    """With the text of one variant; as it is where there are none."""
    other = payload.get("other")
    if other is None or variant == A:
        return payload
    return {**{name: value for name, value in payload.items() if name != "entities"}, **other}


def recipients_table() -> Table[Delivery]:
    """What became of them one by one."""
    return Table(RECIPIENT_COLUMNS, lambda row: (row.telegram_id, row.status, row.error, row.sent_at))
