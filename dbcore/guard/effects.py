"""The table `effects`: what was done, or refused, under which key, written in the transaction that did it.

A transaction looks its key up first, under a lock of the key's own that it holds until its end. So who gets the lock
knows how every earlier transaction of the key ended, also one whose client never heard the answer to COMMIT.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dbcore.errors import UsageError
from dbcore.qualified_names import qualified
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
ISOLATIONS: tuple[Isolation, ...] = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")

KEY_LENGTH_MAX = 190
NAME_LENGTH_MAX = 200

_LEFT_BEHIND_SECONDS = 1.0
"""How long after its deadline the server ends a transaction by itself, whose client has gone without a word."""

_WAITED_FOR_LOCKS = 0.8
"""The share of its time that a transaction may wait for a lock: the server's answer is to come before the deadline."""

_LOOK_UP = "SELECT * FROM ballast.effect_look_up(%s)"
# One after the other, in the order given.
_LOOK_UP_MANY = (
    "SELECT known.* FROM unnest(%s::text[]) AS item(key), LATERAL ballast.effect_look_up(item.key) AS known"
)
# The key is NULL, which the table refuses, if this is not the transaction that looked it up.
RECORD = (
    "INSERT INTO ballast.effects (key, name, result) "
    "VALUES (CASE WHEN extract(epoch FROM transaction_timestamp())::text = %s THEN %s END, %s, %s)"
)
RECORD_MANY = (
    "INSERT INTO ballast.effects (key, name, result) "
    "SELECT CASE WHEN extract(epoch FROM transaction_timestamp())::text = %s THEN done.key END, %s, done.result::json "
    "FROM unnest(%s::text[], %s::text[]) AS done(key, result)"
)
_RECORD_REFUSAL = (
    "SET LOCAL lock_timeout = %s; SELECT ballast.effect_look_up(%s); "
    "INSERT INTO ballast.effects (key, name, refused) VALUES (%s, %s, %s) ON CONFLICT (key) DO NOTHING; "
    "SELECT * FROM ballast.effect_look_up(%s)"
)
_PRUNE = (
    "WITH old AS (SELECT key FROM ballast.effects WHERE created_at < now() - make_interval(days => %s) "
    "ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM ballast.effects AS e USING old "
    "WHERE e.key = old.key RETURNING 1) SELECT count(*) FROM gone"
)
PRUNED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a key stands for.

    created -- when its transaction began, as the server writes it.
    """

    created: str
    name: str
    result: str | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """began -- when the transaction that looked began, as the server writes it; empty without keys.
    recorded -- what each key stands for; None for a new one.
    """

    began: str
    recorded: tuple[Recorded | None, ...]


def begin(isolation: Isolation, remaining_seconds: float, *, read_only: bool = False) -> str:
    """The BEGIN of a transaction that has so long. Before that the server ends its waits for locks, and soon after what
    was left behind.
    """
    lock_ms = _lock_ms(remaining_seconds)
    left_ms = math.ceil((remaining_seconds + _LEFT_BEHIND_SECONDS) * 1000)
    return (
        f"BEGIN ISOLATION LEVEL {isolation}{' READ ONLY' if read_only else ''}; "
        f"SET LOCAL lock_timeout = {lock_ms}; SET LOCAL statement_timeout = {left_ms}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {left_ms}"
    )


def _lock_ms(remaining_seconds: float) -> int:
    return max(1, int(remaining_seconds * _WAITED_FOR_LOCKS * 1000))


def look_up(keys: Sequence[str], schema: str | None) -> tuple[str, tuple[Any, ...]]:
    """The statement that takes the keys' locks and reads their rows, and its parameters; for `found`."""
    if len(keys) == 1:
        return qualified(_LOOK_UP, schema), (keys[0],)
    return qualified(_LOOK_UP_MANY, schema), ([*keys],)


def look_up_alone(key: str, remaining_seconds: float, schema: str | None) -> tuple[str, tuple[Any, ...]]:
    """The same in a transaction of its own."""
    return qualified(f"SET LOCAL lock_timeout = %s; {_LOOK_UP}", schema), (_lock_ms(remaining_seconds), key)


def found(rows: Sequence[Any]) -> Found:
    """What the keys stand for, of which there is one at least."""
    recorded = (
        None if name is None else Recorded(created, name, result, refused)
        for _, created, name, result, refused in rows
    )
    return Found(rows[0][0], tuple(recorded))


def record_refusal(
    engine: GuardedEngine, *, key: str, name: str, refused: str, deadline_seconds: float
) -> Recorded:
    """Write a refusal down, unless the key stands for something by now; what it stands for."""
    lock_ms = _lock_ms(deadline_seconds)
    row = engine.fetch_row(
        _RECORD_REFUSAL,
        (lock_ms, key, key, name, refused, key),
        name=name,
        deadline_seconds=deadline_seconds,
    )
    (recorded,) = found([row]).recorded
    assert recorded is not None  # noqa: S101  the statement before saw to it
    return recorded


def prune(engine: GuardedEngine, days: int) -> int:
    """Forget keys older than that, some hundred a call; how many it were. After it, such a key is as good as new."""
    (count,) = engine.fetch_row(_PRUNE, (days, PRUNED_AT_ONCE), name="effects.prune")
    return int(count)


def require_key(key: str) -> None:
    """Raises TypeError for what is no text, ValueError for what cannot be a key."""
    if not isinstance(key, str):
        raise TypeError(f'a key is a text, such as f"redeem-{{update_id}}", got {key!r}'[:200])
    if not key or len(key) > KEY_LENGTH_MAX or key != storable(key):
        raise ValueError(f"a key has 1 to {KEY_LENGTH_MAX} characters, got {key[:80]!r}")


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def as_json(value: Any) -> str:
    """A result as it is kept. Raises UsageError for what JSON cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise UsageError(
            f"with a key the work returns what JSON can hold, because a repetition is answered with it: {error}. "
            "Nothing was committed. Return ids, numbers and texts instead, such as [row.id for row in rows]"
        ) from error
    if _ESCAPED_NUL.search(text):
        raise UsageError(
            "with a key the work returns what JSON can hold, without a NUL. Nothing was committed"
        )
    return text
