"""Whom a query names that an operator or an app wrote: asked for their Telegram IDs, and for nothing else."""

from __future__ import annotations

import psycopg2

from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.guard.engine import GuardedEngine
from dbcore.qualified_names import qualified
from dbcore.sentences import sentence
from dbcore.text import one_line

LISTED_MAX = 1_000_000

QUERY_SECONDS_MAX = 20

_NOT_ANSWERED = "BL002"


def listed(engine: GuardedEngine, sql: str) -> list[int]:
    """The IDs in the first column of a query, in a transaction that cannot write, within QUERY_SECONDS_MAX. Ballast's
    tables are `ballast.users` and so on in it, wherever they are.

    Raises BroadcastRefused with the database's words where the query cannot be answered.
    """
    try:
        (row,) = engine.fetch_rows(
            "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', %s, true); "
            "SELECT ballast.broadcast_listed(%s, %s)",
            (f"{QUERY_SECONDS_MAX}s", qualified(sql.strip().rstrip(";"), engine.schema), LISTED_MAX),
            name="broadcasts.listed_by_query",
            writes=False,
            deadline_seconds=2.0 * QUERY_SECONDS_MAX,
        )
    except psycopg2.Error as error:
        if error.pgcode != _NOT_ANSWERED:
            raise
        raise BroadcastRefused(
            sentence("the query gives no list: {why}", why=one_line(error.diag.message_primary or "", 200))
        ) from error
    return list(row[0])


def named(engine: GuardedEngine, broadcast_id: int) -> dict[str, str]:
    """What lists its segment names: `sql`, a query of its own, and `app`, the name of an app's segment."""
    (parts,) = engine.fetch_row(
        "SELECT jsonb_strip_nulls(jsonb_build_object('sql', segment -> 'sql', 'app', segment -> 'app')) "
        "FROM ballast.broadcasts WHERE id = %s UNION ALL SELECT '{}'::jsonb LIMIT 1",
        (broadcast_id,),
        name="broadcasts.named",
        writes=False,
    )
    return dict(parts)
