"""What Telegram reports of Stars beside payments: paid media that was bought, and gifts. They change no balance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine


_RECORD = """
WITH added AS (
    INSERT INTO ballast.star_reports (key, kind, telegram_id, what, stars, said_at)
    VALUES (%s, %s, %s, %s, %s, to_timestamp(%s)) ON CONFLICT (key) DO NOTHING RETURNING 1
) SELECT EXISTS (SELECT FROM added)
"""


class StarReportKind(StrEnum):
    PAID_MEDIA = "paid_media"
    GIFT = "gift"
    UNIQUE_GIFT = "unique_gift"


@dataclass(frozen=True, slots=True)
class StarReport:
    """telegram_id -- who bought or sent it. what -- the payload of the media, or the gift's id or name.
    stars -- None if Telegram does not say. said_at -- seconds since 1970.
    """

    kind: StarReportKind
    telegram_id: int
    what: str
    stars: int | None
    said_at: int


def record(engine: GuardedEngine, report: StarReport, *, key: str) -> bool:
    """Write it down, once for its key; whether it was new."""
    parameters = (
        key,
        report.kind.value,
        report.telegram_id,
        storable(report.what),
        report.stars,
        report.said_at,
    )
    return bool(engine.fetch_row(_RECORD, parameters, name="star_reports.record")[0])
