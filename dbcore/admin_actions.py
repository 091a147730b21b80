"""The audit log of what operators did: who, what, to what, and the result. Append-only by the database's own rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbcore.text import storable, storable_json

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

DONE = "done"

_OUTCOME_LENGTH_MAX = 500
_REASON_LENGTH_MAX = 500

SCANNED_MAX = 20_000
"""Rows that one page of a search looks at."""

_COLUMNS = "action_id, actor, action, target, outcome, created_at, reason, before, after"

State = Mapping[str, Any]
"""How what an action is about was before it, or after it: JSON values."""


@dataclass(frozen=True, slots=True)
class AdminAction:
    """What an operator did, or had done.

    action_id -- by which it takes effect once. action -- such as `dead_letter.retry`; target -- what it is about, or
    nothing. at -- when it was ordered, seconds since 1970. reason -- why, in the operator's words.
    """

    action_id: str
    actor: str
    action: str
    target: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordedAction:
    """One that is in the audit log. outcome -- `done`, or why not. reason, before, after -- None of what an earlier
    release wrote down, and where there is nothing to say.
    """

    action_id: str
    actor: str
    action: str
    target: str
    outcome: str
    created_at: datetime
    reason: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


def insert_statement(
    action: AdminAction,
    outcome: str,
    *,
    where: str = "",
    before: State | None = None,
    after: State | None = None,
) -> tuple[str, tuple[Any, ...]]:
    """The statement that writes an action down once, with its parameters: for whoever writes it down in the same
    transaction as what it did.

    where -- `FROM …` and a condition, of ours: only then it is written.
    """
    statement = (
        f"INSERT INTO ballast.admin_actions ({_COLUMNS}) SELECT %s, %s, %s, %s, %s, to_timestamp(%s), %s, "
        f"%s::jsonb, %s::jsonb {where} "
        "ON CONFLICT (action_id) DO NOTHING RETURNING 1"
    )
    texts = (action.actor, action.action, action.target, outcome[:_OUTCOME_LENGTH_MAX])
    states = (None if state is None else json.dumps(storable_json(dict(state))) for state in (before, after))
    return statement, (
        action.action_id,
        *map(storable, texts),
        action.at,
        kept_reason(action.reason),
        *states,
    )


def kept_reason(reason: str) -> str | None:
    """What is written down of it."""
    return storable(reason)[:_REASON_LENGTH_MAX] or None


def record(engine: GuardedEngine, action: AdminAction, outcome: str, *, after: State | None = None) -> None:
    """Write it down, once for its id."""
    statement, parameters = insert_statement(action, outcome, after=after)
    engine.fetch_row(
        f"WITH booked AS ({statement}) SELECT count(*) FROM booked",  # noqa: S608  from right above
        parameters,
        name="admin_actions.record",
    )


def outcome_of(engine: GuardedEngine, action_id: str) -> str | None:
    """What came of it; None where it is not written down."""
    (outcome,) = engine.fetch_row(
        "SELECT (SELECT outcome FROM ballast.admin_actions WHERE action_id = %s)",
        (action_id,),
        name="admin_actions.outcome_of",
        writes=False,
    )
    return None if outcome is None else str(outcome)


def find(engine: GuardedEngine, action_id: str) -> RecordedAction | None:
    """The one of this id; None where it is not written down."""
    (row,) = engine.fetch_row(
        f"SELECT (SELECT to_jsonb(a) FROM (SELECT {_COLUMNS} FROM ballast.admin_actions WHERE action_id = %s) AS a)",  # noqa: S608
        (action_id,),
        name="admin_actions.find",
        writes=False,
    )
    return None if row is None else _read(row)


def recent(engine: GuardedEngine, limit: int) -> list[RecordedAction]:
    """The last ones, newest first."""
    (rows,) = engine.fetch_row(
        f"SELECT coalesce(jsonb_agg(a), '[]') FROM "  # noqa: S608  our own column names
        f"(SELECT {_COLUMNS} FROM ballast.admin_actions ORDER BY created_at DESC, id DESC LIMIT %s) AS a",
        (limit,),
        name="admin_actions.recent",
        writes=False,
    )
    return [_read(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Filters:
    """Of a search; None is all.

    action -- `user.credit`, or what several begin with, such as `user`. text -- a part of the reason, in any case.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActionsPage:
    """next_before -- what gets the next page; None after the last one."""

    items: list[RecordedAction]
    next_before: int | None


def search(
    engine: GuardedEngine, filters: Filters, *, before: int | None = None, limit: int = 50
) -> ActionsPage:
    """Newest first. A page looks at SCANNED_MAX rows at most, so it may be shorter than `limit` and not the last."""
    f = filters
    scanned = (
        f"SELECT id, {_COLUMNS} FROM ballast.admin_actions WHERE (%s::bigint IS NULL OR id < %s) "  # noqa: S608  ours
        "AND (%s::text IS NULL OR actor = %s) AND (%s::text IS NULL OR target = %s) ORDER BY id DESC LIMIT %s"
    )
    row = engine.fetch_row(
        f"WITH scanned AS MATERIALIZED ({scanned}), found AS (SELECT * FROM scanned "  # noqa: S608
        "WHERE (%s::text IS NULL OR action = %s OR starts_with(action, %s || '.')) "
        "AND (%s::text IS NULL OR position(lower(%s) IN lower(coalesce(reason, ''))) > 0) "
        "AND (%s::timestamptz IS NULL OR created_at >= %s) AND (%s::timestamptz IS NULL OR created_at < %s) "
        "ORDER BY id DESC LIMIT %s) "
        "SELECT (SELECT coalesce(jsonb_agg(found ORDER BY id DESC), '[]') FROM found), "
        "(SELECT count(*) FROM scanned), (SELECT min(id) FROM scanned)",
        (
            *(before, before, f.actor, f.actor, f.target, f.target, SCANNED_MAX),
            *(f.action, f.action, f.action, f.text, f.text),
            *(f.since, f.since, f.until, f.until, limit),
        ),
        name="admin_actions.search",
        writes=False,
    )
    rows, count, oldest = row
    following = rows[-1]["id"] if len(rows) == limit else oldest if count == SCANNED_MAX else None
    return ActionsPage([_read({k: v for k, v in each.items() if k != "id"}) for each in rows], following)


def _read(row: dict[str, Any]) -> RecordedAction:
    return RecordedAction(**{**row, "created_at": datetime.fromisoformat(row["created_at"])})
