"""Which backups are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ballast.backups.stores import Stored

UNPROVEN_KEPT = 2
"""Of those that were not proven and are newer than the last proven one: what they hold may be all that there is."""


def superfluous(stored: Sequence[Stored], keep: str, now: datetime) -> list[Stored]:
    """Those that can go; never the last proven one, and none while there is no proven one.

    stored -- newest first. keep -- BACKUP_KEEP: a number of proven ones, or of days.
    """
    proven = [each for each in stored if each.note is not None]
    if not proven:
        return []
    if keep.endswith("d"):
        oldest = now - timedelta(days=int(keep.removesuffix("d")))
        old = [each for each in proven if _moment(each) < oldest]
    else:
        old = proven[int(keep) :]
    unproven = [each for each in stored if each.note is None]
    newer = [each for each in unproven if each.taken_at > proven[0].taken_at]
    outdated = [each for each in unproven if each not in newer] + newer[UNPROVEN_KEPT:]
    return [each for each in (*old, *outdated) if each != proven[0]]


def _moment(stored: Stored) -> datetime:
    return datetime.strptime(stored.taken_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
