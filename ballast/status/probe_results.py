"""What the probes found, in Redis, for the pages: the last finding, and the last hours in short. All that a statement
found are in the table `health_probes`.
"""

from __future__ import annotations

import json
from typing import Any, cast

import redis

_LAST = "ballast:probe:last"
_SERVER = "ballast:probe:server"
_CALLS = "ballast:probe:calls"
_RECENT = "ballast:probe:recent"

RECENT_MAX = 720
"""Half a day of a probe a minute; about 100 bytes each."""

SCHEMA = "schema"
"""A finding's kind, beside those of failures: the database answers, and was not migrated for this release."""


def claim_slot(client: redis.Redis, slot: int, period_seconds: int) -> bool:
    """Whether this caller is the first of the period. Several beats ask for the same probe."""
    return bool(client.set(f"ballast:probe:slot:{slot}", 1, nx=True, ex=2 * period_seconds))


def claim_tending(client: redis.Redis, period_seconds: int) -> bool:
    """Whether this caller is the first for so long."""
    return bool(client.set("ballast:probe:tended", 1, nx=True, ex=period_seconds))


def keep(client: redis.Redis, finding: dict[str, Any]) -> None:
    short = {name: finding.get(name) for name in ("probed_at", "ok", "by", "latency_ms", "kind")}
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set(_LAST, json.dumps(finding, default=str))
        if "server_version" in finding:
            pipeline.set(_SERVER, json.dumps(finding, default=str))
        pipeline.lpush(_RECENT, json.dumps(short))
        pipeline.ltrim(_RECENT, 0, RECENT_MAX - 1)
        pipeline.execute()


def exchange_calls(client: redis.Redis, calls: dict[str, int]) -> dict[str, int]:
    """Remember how many calls each process had made at this look; those of the look before."""
    before = cast(bytes | None, client.set(_CALLS, json.dumps(calls), get=True))
    return {} if before is None else cast(dict[str, int], json.loads(before))


def last(client: redis.Redis) -> dict[str, Any] | None:
    return _finding(client, _LAST)


def last_of_server(client: redis.Redis) -> dict[str, Any] | None:
    """The last finding that says what the server is, however many probes failed since."""
    return _finding(client, _SERVER)


def recent(client: redis.Redis) -> list[dict[str, Any]]:
    """The last findings in short, oldest first: probed_at, ok, by, latency_ms where it was measured, kind."""
    lines = cast(list[bytes], client.lrange(_RECENT, 0, RECENT_MAX - 1))
    return [json.loads(line) for line in reversed(lines)]


def _finding(client: redis.Redis, key: str) -> dict[str, Any] | None:
    line = cast(bytes | None, client.get(key))
    return None if line is None else cast(dict[str, Any], json.loads(line))
