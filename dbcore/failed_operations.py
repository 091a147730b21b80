"""What could not be carried out, kept for an operator to retry or discard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.qualified_names import qualified
from dbcore.text import storable, storable_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

PRUNED_AT_ONCE = 500

_ERROR_LENGTH_MAX = 4_000
_PRUNE = (
    "WITH gone AS (DELETE FROM ballast.failed_operations WHERE id IN (SELECT id FROM ballast.failed_operations "
    "WHERE status <> 'open' AND resolved_at < now() - make_interval(days => %s) ORDER BY id LIMIT %s "
    "FOR UPDATE SKIP LOCKED) RETURNING 1) SELECT count(*) FROM gone"
)
_SELECT_SQL = (
    "SELECT id, job_id, kind, reference, telegram_id, error, payload, status, created_at "
    "FROM ballast.failed_operations "
)
_CAUSE = r"regexp_replace(left(split_part(error, E'\n', 1), 200), '[0-9a-f]*[0-9][0-9a-f]*', '#', 'g')"
"""The first line of an error, with `#` for numbers: what failed jobs of one cause have in common."""

_MATCHES = (
    "(%(kind)s::text IS NULL OR kind = %(kind)s) "
    "AND (%(error)s::text IS NULL OR strpos(lower(error), lower(%(error)s)) > 0) "
    f"AND (%(cause)s::text IS NULL OR {_CAUSE} = %(cause)s) "
    "AND (%(telegram_id)s::bigint IS NULL OR telegram_id = %(telegram_id)s) "
    "AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s) "
    "AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s) "
)
_WHERE_MATCHING = f"WHERE status = 'open' AND {_MATCHES}"
_MATCHING = _WHERE_MATCHING + "AND id > %(after)s ORDER BY id LIMIT %(limit)s"


SCANNED_MAX = 5_000
"""Rows that one page looks at, at most, so that a filter that fits nothing costs no more."""

_ID_MAX = 2**63 - 1
_PAGE = f"""
WITH seen AS MATERIALIZED (
    SELECT * FROM ballast.failed_operations WHERE status = %(status)s AND id < %(before)s
     ORDER BY id DESC LIMIT %(scanned)s
)
SELECT f.id, f.job_id, f.kind, f.reference, f.telegram_id, f.error, f.payload, f.status, f.created_at,
       (SELECT CASE WHEN count(*) = %(scanned)s THEN min(id) END FROM seen)
  FROM (VALUES (1)) AS one
  LEFT JOIN (SELECT * FROM seen
              WHERE {_MATCHES}
              ORDER BY id DESC LIMIT %(limit)s) AS f ON true
 ORDER BY f.id DESC
"""  # noqa: S608  our own conditions

CAUSES_MAX = 20
_CAUSES = f"""
WITH seen AS MATERIALIZED (
    SELECT * FROM ballast.failed_operations WHERE status = 'open' ORDER BY id DESC LIMIT %(scanned)s
)
SELECT kind, {_CAUSE}, count(*), min(created_at), max(created_at), sum(count(*)) OVER ()
  FROM seen WHERE {_MATCHES} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s
"""  # noqa: S608  our own conditions


@dataclass(frozen=True, slots=True)
class FailedOperation:
    """One of them.

    reference -- what its user was told.
    status -- open, retried or discarded.
    created_at -- when it failed, the last time.
    """

    id: int
    job_id: str
    kind: str
    reference: str
    telegram_id: int | None
    error: str
    payload: dict[str, Any]
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """Which of them; None: all. error -- a part of it. cause -- as `Cause` has it. since, until -- when it failed
    last.
    """

    kind: str | None = None
    error: str | None = None
    cause: str | None = None
    telegram_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Failed jobs of one kind with one error. cause -- its first line, `#` for numbers. first_at, last_at -- when the
    one failed that failed first, and last.
    """

    kind: str
    cause: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Causes:
    """items -- the most frequent ones. total -- jobs of all causes. is_all -- False where older ones were not
    counted.
    """

    items: list[Cause]
    total: int
    is_all: bool


@dataclass(frozen=True, slots=True)
class FailedPage:
    """next_before -- where the next page begins; None after the last one. A page may hold fewer than asked for, or
    none, and still have a next one.
    """

    items: list[FailedOperation]
    next_before: int | None


def record(
    engine: GuardedEngine,
    *,
    job_id: str,
    kind: str,
    reference: str,
    telegram_id: int | None,
    error: str,
    payload: dict[str, Any],
) -> bool:
    """Write it down once for its job. False where it was there already, and open.

    A job that was retried or discarded before and fails again is opened again, with the new error.
    payload -- JSON values. The error's text is cut to what is useful.
    """
    # ensure_ascii turns a lone surrogate into \udXXX and NUL into \u0000; jsonb takes neither.
    document = json.dumps(storable_json(payload))
    (was_open,) = engine.fetch_row(
        "WITH before AS (SELECT status FROM ballast.failed_operations WHERE job_id = %s), recorded AS ("
        "INSERT INTO ballast.failed_operations (job_id, kind, reference, telegram_id, error, payload) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (job_id) DO UPDATE "
        "SET status = 'open', resolved_at = NULL, error = excluded.error, created_at = clock_timestamp()) "
        "SELECT EXISTS (SELECT FROM before WHERE status = 'open')",
        (job_id, job_id, kind, reference, telegram_id, storable(error[:_ERROR_LENGTH_MAX]), document),
        name="failed_operations.record",
    )
    return not was_open


def list_open(engine: GuardedEngine, limit: int) -> list[FailedOperation]:
    """The oldest that nobody dealt with yet."""
    return _select(engine, "WHERE status = 'open' ORDER BY id LIMIT %s", limit)


def page(
    engine: GuardedEngine,
    filters: Filters,
    *,
    status: str,
    before: int | None = None,
    limit: int = 50,
) -> FailedPage:
    """A page of those of this status with ids below `before`, newest first."""
    begin = _ID_MAX if before is None else before
    rows = engine.fetch_rows(
        _PAGE,
        {
            **_parameters(filters),
            "status": status,
            "before": begin,
            "scanned": SCANNED_MAX,
            "limit": limit,
        },
        name="failed_operations.page",
        writes=False,
    )
    looked_to = rows[0][-1]
    found = [FailedOperation(*row[:-1]) for row in rows if row[0] is not None]
    return FailedPage(found, found[-1].id if len(found) == limit else looked_to)


def open_matching(
    engine: GuardedEngine, filters: Filters, *, after: int = 0, limit: int
) -> list[FailedOperation]:
    """The oldest of them, behind the one with the id `after`."""
    rows = engine.fetch_rows(
        _SELECT_SQL + _MATCHING,
        {**_parameters(filters), "after": after, "limit": limit},
        name="failed_operations.open_matching",
        writes=False,
    )
    return [FailedOperation(*row) for row in rows]


def count_matching(engine: GuardedEngine, filters: Filters) -> dict[str, int]:
    """How many of each kind, the most first."""
    rows = engine.fetch_rows(
        f"SELECT kind, count(*) FROM ballast.failed_operations {_WHERE_MATCHING} GROUP BY kind ORDER BY 2 DESC, 1",  # noqa: S608
        _parameters(filters),
        name="failed_operations.count_matching",
        writes=False,
    )
    return dict(rows)


def causes(engine: GuardedEngine, filters: Filters, *, limit: int = CAUSES_MAX) -> Causes:
    """Why jobs failed that are open, among the newest SCANNED_MAX, the most frequent first."""
    rows = engine.fetch_rows(
        _CAUSES,
        {**_parameters(filters), "scanned": SCANNED_MAX, "limit": limit},
        name="failed_operations.causes",
        writes=False,
    )
    return Causes(
        [Cause(*row[:-1]) for row in rows],
        int(rows[0][-1]) if rows else 0,
        count_open(engine) <= SCANNED_MAX,
    )


def _parameters(filters: Filters) -> dict[str, Any]:
    return {name: getattr(filters, name) for name in Filters.__slots__}


def count_open(engine: GuardedEngine) -> int:
    """How many nobody dealt with yet."""
    (count,) = engine.fetch_row(
        "SELECT count(*) FROM ballast.failed_operations WHERE status = 'open'",
        name="failed_operations.count_open",
        writes=False,
    )
    return int(count)


def find(engine: GuardedEngine, reference: str) -> FailedOperation | None:
    """The one that its user quotes, whatever became of it; the newest, should two share a reference."""
    found = _select(engine, "WHERE reference = %s ORDER BY id DESC LIMIT 1", reference)
    return found[0] if found else None


def resolve(
    engine: GuardedEngine,
    letter: FailedOperation,
    status: Literal["retried", "discarded"],
    order: AdminAction,
) -> bool:
    """Close it, and write the order down with that. False where it is not open (any more), or failed once more since
    `letter` was read.
    """
    booked, parameters = insert_statement(
        order, DONE, where="FROM resolved", before={"status": "open"}, after={"status": status}
    )
    (resolved,) = engine.fetch_row(
        "WITH resolved AS (UPDATE ballast.failed_operations SET status = %s, resolved_at = now() "  # noqa: S608  ours
        f"WHERE id = %s AND created_at = %s AND status = 'open' RETURNING 1), booked AS ({booked}) "
        "SELECT count(*) FROM resolved",
        (status, letter.id, letter.created_at, *parameters),
        name="failed_operations.resolve",
    )
    return bool(resolved)


def prune(engine: GuardedEngine, days: int) -> int:
    """Remove the oldest of those that were retried or discarded longer ago than that; how many it were."""
    (count,) = engine.fetch_row(_PRUNE, (days, PRUNED_AT_ONCE), name="failed_operations.prune")
    return int(count)


def _select(engine: GuardedEngine, condition: str, parameter: int | str) -> list[FailedOperation]:
    def operation(connection: Connection) -> list[FailedOperation]:
        rows = connection.exec_driver_sql(qualified(_SELECT_SQL + condition, engine.schema), (parameter,))
        return [FailedOperation(*row) for row in rows]

    return engine.call(operation, name="failed_operations.select", writes=False)
