"""The lists that a segment names: a query of an operator's own, and an app's segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ballast.installed import INSTALLED
from dbcore.broadcasts import broadcasts, segments
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import sentence


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
