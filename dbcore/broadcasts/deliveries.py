"""What became of a broadcast's recipients one by one, read page by page: each page begins after the last one's end, so
the millionth is as quick as the first, and none is held longer than it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dbcore.broadcasts.broadcasts import SNAPSHOT_SECONDS_MAX, BroadcastRefused, Progress
from dbcore.sentences import sentence

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

DELETABLE_HOURS = 48
"""Telegram deletes a message for everybody within that time."""


FORGOTTEN_AT_ONCE = 5_000
"""Some 50 ms of the database's time. Once a minute that is seven million a day."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient's state. `sent_at` is ISO 8601 in UTC, None where nothing was sent."""

    user_id: int
    telegram_id: int
    status: str
    error: str | None
    sent_at: str | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What somebody has of a broadcast in their chat: several messages for an album."""

    user_id: int
    telegram_id: int
    message_ids: tuple[int, ...]


def require_kept(engine: GuardedEngine, broadcast: Progress, now: datetime) -> None:
    """Raises BroadcastRefused where they are being forgotten."""
    days = engine.deliveries_keep_days
    if broadcast.finished_at is not None and now - broadcast.finished_at >= timedelta(days=days):
        raise BroadcastRefused(
            sentence(
                "broadcast {id} ended more than {days} days ago: its counts are kept, and what became of its "
                "recipients one by one is not",
                id=str(broadcast.id),
                days=days,
            )
        )


def page(engine: GuardedEngine, broadcast_id: int, *, after_user_id: int, limit: int) -> list[Delivery]:
    """The next recipients in the order of their user ids; none behind the last."""
    (rows,) = engine.fetch_row(
        "SELECT coalesce(jsonb_agg(jsonb_build_array(user_id, telegram_id, status, error, sent_at) ORDER BY user_id), "
        "'[]') FROM (SELECT user_id, telegram_id, status, error, CASE WHEN status = 'sent' THEN "
        "to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') END AS sent_at "
        "FROM ballast.broadcast_deliveries WHERE broadcast_id = %s AND user_id > %s ORDER BY user_id LIMIT %s) AS d",
        (broadcast_id, after_user_id, limit),
        name="broadcasts.page",
        writes=False,
    )
    return [Delivery(*row) for row in rows]


def arrived(engine: GuardedEngine, broadcast_id: int, *, after_user_id: int, limit: int) -> list[Arrived]:
    """The next ones whose messages can be deleted still."""
    (rows,) = engine.fetch_row(
        "SELECT coalesce(jsonb_agg(jsonb_build_array(user_id, telegram_id, message_id, more_message_ids) "
        "ORDER BY user_id), '[]') FROM (SELECT user_id, telegram_id, message_id, more_message_ids "
        "FROM ballast.broadcast_deliveries WHERE broadcast_id = %s AND user_id > %s AND message_id IS NOT NULL "
        "AND updated_at > now() - make_interval(hours => %s) ORDER BY user_id LIMIT %s) AS d",
        (broadcast_id, after_user_id, DELETABLE_HOURS, limit),
        name="broadcasts.arrived",
        writes=False,
    )
    return [
        Arrived(user_id, telegram_id, (first, *(more or ()))) for user_id, telegram_id, first, more in rows
    ]


def forget_messages(engine: GuardedEngine, broadcast_id: int, user_ids: Sequence[int]) -> None:
    """Their messages are deleted. That they were sent stays as it was."""
    engine.fetch_row(
        "WITH changed AS (UPDATE ballast.broadcast_deliveries SET message_id = NULL, more_message_ids = NULL "
        "WHERE broadcast_id = %s AND user_id = ANY(%s::bigint[]) AND message_id IS NOT NULL RETURNING 1) "
        "SELECT count(*) FROM changed",
        (broadcast_id, list(user_ids)),
        name="broadcasts.forget_messages",
    )


def count_messages(engine: GuardedEngine, broadcast_id: int) -> int:
    """How many people have messages of it that were not deleted, as far as is on record."""
    row = engine.fetch_row(
        "SELECT count(*) FROM ballast.broadcast_deliveries WHERE broadcast_id = %s AND message_id IS NOT NULL",
        (broadcast_id,),
        name="broadcasts.count_messages",
        writes=False,
        deadline_seconds=SNAPSHOT_SECONDS_MAX,
    )
    return int(row[0])


def count_variants(engine: GuardedEngine, broadcast_id: int) -> dict[str, dict[str, int]]:
    """Of an A/B test: how many recipients each text has, by their states. Who gets which is as
    `ballast.broadcasts.audience` says.
    """
    (counts,) = engine.fetch_row(
        "SELECT coalesce(jsonb_object_agg(variant, states), '{}') FROM "
        "(SELECT variant, jsonb_object_agg(status, people) AS states FROM "
        "(SELECT CASE get_byte(sha256(convert_to(broadcast_id || ':' || user_id, 'UTF8')), 0) %% 2 "
        "WHEN 1 THEN 'b' ELSE 'a' END AS variant, status, count(*) AS people "
        "FROM ballast.broadcast_deliveries WHERE broadcast_id = %s GROUP BY 1, 2) AS each GROUP BY 1) AS texts",
        (broadcast_id,),
        name="broadcasts.count_variants",
        writes=False,
        deadline_seconds=SNAPSHOT_SECONDS_MAX,
    )
    return dict(counts)


def forget_old(engine: GuardedEngine, *, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """The next recipients of a broadcast that ended more than DELIVERIES_KEEP_DAYS ago. Returns how many."""
    row = engine.fetch_row(
        "SELECT ballast.broadcast_forget(%s, %s)",
        (engine.deliveries_keep_days, limit),
        name="broadcasts.forget_old",
    )
    return int(row[0])
