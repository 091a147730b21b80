"""Keys of the HTTP API: which there are, and what each may do. A key itself is shown once, when it is made; the table
has its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.sentences import Refusal, sentence

PREFIX = "ballast_"
"""What a key begins with, so that a scanner of sources and logs can tell one."""

SECRET_BYTES = 32
KEYS_MAX = 1_000
"""In force at once: every frontend has them all in memory."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")

OWNER, LOCAL = "owner", "local"
"""Who calls with OPS_TOKEN, and without any key from the host itself. No key has these names, or the audit log could
not say whose act it was.
"""

_COLUMNS = "id, name, hash, scopes, created_by, created_at, revoked_at"


class KeyRefused(Refusal):
    """No such key can be made, or revoked. It says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, in force or revoked. name -- who acts by it, for the audit log."""

    id: int
    name: str
    hash: str
    scopes: frozenset[str]
    created_by: str
    created_at: datetime
    revoked_at: datetime | None


def hash_of(key: str) -> str:
    """What the table has of it. A key is 256 random bits, so nobody guesses it from an unsalted hash."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def create(engine: GuardedEngine, *, name: str, scopes: Sequence[str], created_by: str) -> tuple[ApiKey, str]:
    """Make a key; what is answered last is the key itself. Raises KeyRefused."""
    if not NAME.fullmatch(name):
        raise KeyRefused(
            sentence(
                "a key's name is 1 to 40 letters, digits or any of . _ -, got {text}", text=repr(name[:80])
            )
        )
    if name.lower() in {OWNER, LOCAL}:
        raise KeyRefused(
            sentence(
                "{name} is what the audit log calls who has no key of a name; give it another name", name=name
            )
        )
    key = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    (count, row) = engine.fetch_row(
        "WITH there AS (SELECT count(*) AS n FROM ballast.api_keys WHERE revoked_at IS NULL), "  # noqa: S608  ours
        "made AS (INSERT INTO ballast.api_keys (name, hash, scopes, created_by) SELECT %s, %s, %s, %s FROM there "
        f"WHERE n < %s ON CONFLICT DO NOTHING RETURNING {_COLUMNS}) "
        # The second one: a retry, whose first try made it.
        "SELECT (SELECT n FROM there), coalesce((SELECT to_jsonb(made) FROM made), "
        f"(SELECT to_jsonb(k) FROM (SELECT {_COLUMNS} FROM ballast.api_keys WHERE hash = %s) AS k))",
        (name, hash_of(key), sorted(set(scopes)), created_by, KEYS_MAX, hash_of(key)),
        name="api_keys.create",
    )
    if row is not None:
        return _read(row), key
    if count >= KEYS_MAX:
        raise KeyRefused(sentence("there are {number} keys already; revoke one", number=KEYS_MAX))
    raise KeyRefused(
        sentence("there is a key named {name} already; revoke it, or give this one another name", name=name)
    )


def revoke(engine: GuardedEngine, name: str) -> None:
    """Forever; at once where it is done, within some seconds in the frontends. Raises KeyRefused."""
    (count,) = engine.fetch_row(
        "WITH revoked AS (UPDATE ballast.api_keys SET revoked_at = now() WHERE name = %s AND revoked_at IS NULL "
        "RETURNING 1) SELECT count(*) FROM revoked",
        (name,),
        name="api_keys.revoke",
    )
    if not count:
        raise KeyRefused(sentence("there is no key named {name} in force", name=name))


def in_force(engine: GuardedEngine) -> list[ApiKey]:
    """All of them."""
    return _select(engine, "WHERE revoked_at IS NULL ORDER BY id LIMIT %s", KEYS_MAX)


def newest(engine: GuardedEngine, limit: int) -> list[ApiKey]:
    """Newest first, those that were revoked too."""
    return _select(engine, "ORDER BY id DESC LIMIT %s", limit)


def _select(engine: GuardedEngine, condition: str, limit: int) -> list[ApiKey]:
    (rows,) = engine.fetch_row(
        f"SELECT coalesce(jsonb_agg(k), '[]') FROM (SELECT {_COLUMNS} FROM ballast.api_keys {condition}) AS k",  # noqa: S608
        (limit,),
        name="api_keys.select",
        writes=False,
    )
    return [_read(row) for row in rows]


def _read(row: dict[str, Any]) -> ApiKey:
    revoked_at = row["revoked_at"]
    return ApiKey(
        **{
            **row,
            "scopes": frozenset(row["scopes"]),
            "created_at": datetime.fromisoformat(row["created_at"]),
            "revoked_at": None if revoked_at is None else datetime.fromisoformat(revoked_at),
        }
    )
