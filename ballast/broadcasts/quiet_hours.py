"""Quiet hours: when a broadcast rests, by the clocks of a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo


def quiet_until(hours: Mapping[str, str] | None, now: datetime) -> datetime | None:
    """When they end, if `now` is within them; else None.

    hours -- `{"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"}`; past midnight where the end is earlier.
    now -- aware.
    """
    if hours is None:
        return None
    zone = ZoneInfo(hours["zone"])
    local = now.astimezone(zone)
    begin, end = time.fromisoformat(hours["begin"]), time.fromisoformat(hours["end"])
    clock = local.time()
    quiet = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not quiet:
        return None
    ends_on = local.date() if clock < end else local.date() + timedelta(days=1)
    ends = datetime.combine(ends_on, end, zone)
    return (
        ends if ends > now else ends.replace(fold=1)
    )  # in an hour that the clocks show twice, the second time
