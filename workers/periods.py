"""When an app's periodic functions are due."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab

from ballast.apps.registered import Cron, Periodic

CRON_SECONDS = 60
MADE_UP_FOR_MINUTES = 60
"""A time that is longer ago is left out."""


def seconds_between(periodic: Periodic) -> int:
    """The least that lies between two runs. Ends the process, in one line, if its cron expression is none."""
    if isinstance(periodic.when, int):
        return periodic.when
    try:
        _fields(periodic.when.expression)
    except (ParseException, ValueError) as error:
        wrong = f"{periodic.when.expression!r} is no cron expression: {error}"
        sys.exit(f"ballast: BALLAST_APPS: {periodic.handler.kind}: {wrong}")
    return CRON_SECONDS


def period_of(periodic: Periodic, now: float) -> int | None:
    """Names the period that is to be done at `now`, a Unix time; None if there is none."""
    if isinstance(periodic.when, int):
        return int(now) // periodic.when
    return newest(periodic.when, now)


def newest(cron: Cron, now: float) -> int | None:
    """The last of its times within the hour before `now`, as a Unix time."""
    fields, zone = _fields(cron.expression), ZoneInfo(cron.timezone)
    minute = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    for ago in range(MADE_UP_FOR_MINUTES):
        at = (minute - timedelta(minutes=ago)).astimezone(zone)
        if (
            at.fold == 0
            and at.minute in fields.minute
            and at.hour in fields.hour
            and at.day in fields.day_of_month
            and at.month in fields.month_of_year
            and at.isoweekday() % 7 in fields.day_of_week
        ):
            return int(at.timestamp())
    return None


@cache
def _fields(expression: str) -> crontab:
    return crontab.from_string(expression)
