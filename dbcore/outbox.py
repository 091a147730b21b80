"""The table `outbox`: jobs that are part of a commit, until the workers have them on record.

    tx.enqueue ──▶ a row, in the caller's transaction ──COMMIT──▶ announce() ──▶ the workers' relay
                                                                      │              first() ─▶ inbox ─▶ remove()
                                                                      └─ forgotten: the relay comes by itself

The commit alone decides: a row is there if and only if what it follows is. `announce` only makes it quick.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from psycopg2.errors import UndefinedTable

from dbcore import keys
from dbcore.errors import UsageError
from dbcore.qualified_names import qualified

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine

PAYLOAD_LENGTH_MAX = 262_144
"""Characters of JSON. The job waits in Redis's memory, too."""

_ADD = "INSERT INTO ballast.outbox (kind, payload, telegram_id, key) VALUES (%s, %s, %s, %s)"
_FIRST = (
    "WITH o AS (SELECT id, kind, payload::text, telegram_id, key, "
    "floor(extract(epoch FROM created_at))::bigint AS created, "
    "extract(epoch FROM clock_timestamp() - created_at)::float8 AS waited_seconds FROM ballast.outbox "
    "WHERE id > %s AND (telegram_id IS NULL OR telegram_id <> ALL(%s::bigint[])) "
    "ORDER BY id LIMIT %s FOR UPDATE) SELECT coalesce(json_agg(o ORDER BY o.id), '[]') FROM o"
)
_REMOVE = "WITH gone AS (DELETE FROM ballast.outbox WHERE id = ANY(%s::bigint[]) RETURNING 1) SELECT count(*) FROM gone"
_WAITING = (
    "SELECT count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8 FROM ballast.outbox"
)


class Job(Protocol):
    """What can be enqueued: those of `ballast.builtin`, and whatever has a kind and dumps itself as a JSON object."""

    @property
    def kind(self) -> str:
        """Which task it is for, such as `replies.deliver`: 1 to 64 of a-z, 0-9, _ and the dot."""

    def model_dump_json(self) -> str:
        """Its arguments, as a JSON object."""


@dataclass(frozen=True, slots=True)
class Row:
    """A job that waits.

    payload -- its arguments as JSON, as they were written.
    telegram_id -- whose jobs keep their order. key -- the job's identity, if the transaction named one.
    created -- seconds since 1970, when its transaction began. waited_seconds -- since then.
    """

    id: int
    kind: str
    payload: str
    telegram_id: int | None
    key: str | None
    created: int
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """oldest_seconds -- None if there is none."""

    rows: int
    oldest_seconds: float | None


def add(
    connection: Connection, schema: str | None, job: Job, *, key: str | None, telegram_id: int | None
) -> None:
    """In the connection's transaction. Raises UsageError and ValueError for what cannot be a job or a key."""
    if not isinstance(getattr(job, "kind", None), str) or not hasattr(job, "model_dump_json"):
        raise UsageError(
            f"a job has a kind and model_dump_json(), as those of ballast.builtin do; got {job!r:.80}"
        )
    if keys.KINDS.fullmatch(job.kind) is None:
        raise UsageError(f"a job's kind is 1 to 64 of a-z, 0-9, _ and the dot, got {job.kind[:80]!r}")
    if key is not None:
        keys.require_of_job(key)
    payload = job.model_dump_json()
    if len(payload) > PAYLOAD_LENGTH_MAX:
        raise UsageError(f"a job has up to {PAYLOAD_LENGTH_MAX:,} characters of JSON, got {len(payload):,}")
    read(payload)
    from sqlalchemy.exc import ProgrammingError

    try:
        connection.exec_driver_sql(qualified(_ADD, schema), (job.kind, payload, telegram_id, key))
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable):
            raise
        raise UsageError(
            "tx.enqueue needs the table outbox, which this database does not have: `python -m dbcore migrate` makes it"
        ) from error


def read(payload: str) -> dict[str, Any]:
    """A job's arguments. Raises UsageError for what is no JSON object, or has text that is no Unicode."""
    try:
        arguments = json.loads(payload)
        json.dumps(arguments, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a job's arguments are a JSON object: {error}") from error
    if not isinstance(arguments, dict):
        raise UsageError(f"a job's arguments are a JSON object, got {payload[:80]}")
    return arguments


def first(engine: GuardedEngine, limit: int, *, after: int = 0, without: Collection[int] = ()) -> list[Row]:
    """The oldest of those behind the row `after`, in their order.

    without -- users whose rows are left out.

    It locks the rows until the statement ends: what a read-only server could not remove is not handed out again and
    again. It skips none that another relay has locked, which would let a user's later job overtake an earlier one.
    """
    (rows,) = engine.fetch_row(_FIRST, (after, [*without], limit), name="outbox.first")
    return [Row(**row) for row in rows]


def remove(engine: GuardedEngine, ids: Sequence[int]) -> int:
    """Those that are on record elsewhere now; how many there still were."""
    (count,) = engine.fetch_row(_REMOVE, ([*ids],), name="outbox.remove")
    return int(count)


def waiting(engine: GuardedEngine) -> Waiting:
    """How many there are, and for how long the oldest."""
    return Waiting(*engine.fetch_row(_WAITING, name="outbox.waiting", writes=False))


_listener: Callable[[], object] | None = None


def listen(listener: Callable[[], object] | None) -> None:
    """What this process does right after each commit with jobs in it, through any guard. A worker's process has the
    relay run. None: nothing.
    """
    global _listener
    _listener = listener


def announce() -> None:
    """A commit with jobs in it is known. Raises what the listener raises."""
    if _listener is not None:
        _listener()
