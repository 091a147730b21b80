"""The last probe's finding in Redis, for the pages. All findings are in the table `health_probes`."""

from __future__ import annotations

import json
from typing import Any, cast

import redis

_LAST = "ballast:probe:last"
_CALLS = "ballast:probe:calls"


def claim_slot(client: redis.Redis, slot: int, period_seconds: int) -> bool:
    """Whether this caller is the first of the period. Several beats ask for the same probe."""
    return bool(client.set(f"ballast:probe:slot:{slot}", 1, nx=True, ex=2 * period_seconds))


def keep(client: redis.Redis, finding: dict[str, Any]) -> None:
    client.set(_LAST, json.dumps(finding, default=str))


def exchange_calls(client: redis.Redis, calls: dict[str, int]) -> dict[str, int]:
    """Remember how many calls each process had made at this look; those of the look before."""
    before = cast(bytes | None, client.set(_CALLS, json.dumps(calls), get=True))
    return {} if before is None else cast(dict[str, int], json.loads(before))


def last(client: redis.Redis) -> dict[str, Any] | None:
    line = cast(bytes | None, client.get(_LAST))
    return None if line is None else cast(dict[str, Any], json.loads(line))
