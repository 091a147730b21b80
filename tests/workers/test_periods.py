"""When periodic functions are due, by the clocks of their time zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ballast import App, JobContext, UsageError
from ballast.apps.registered import Cron
from workers.periods import newest, seconds_between

BERLIN = ZoneInfo("Europe/Berlin")


def _nothing(ctx: JobContext) -> None:
    """Does nothing."""


def told(expression: str, now: str, timezone: str = "Europe/Berlin") -> str | None:
    """The last time at this one, both on Berlin's clocks."""
    due = newest(Cron(expression, timezone), datetime.fromisoformat(now).replace(tzinfo=BERLIN).timestamp())
    return None if due is None else datetime.fromtimestamp(due, BERLIN).strftime("%a %H:%M")


@pytest.mark.parametrize(
    ("expression", "now", "due"),
    [
        ("0 9 * * 1-5", "2026-11-27T09:00:00", "Fri 09:00"),
        ("0 9 * * 1-5", "2026-11-27T08:59:59", None),
        ("0 9 * * 1-5", "2026-11-27T09:59:59", "Fri 09:00"),  # made up for
        ("0 9 * * 1-5", "2026-11-27T10:00:00", None),
        ("0 9 * * 1-5", "2026-11-28T09:00:00", None),  # a Saturday
        ("0 9 * * mon-fri", "2026-11-27T09:00:30", "Fri 09:00"),
        ("0 9 * * 0", "2026-11-29T09:00:00", "Sun 09:00"),
        ("*/15 * * * *", "2026-11-27T09:29:00", "Fri 09:15"),
        ("0 0 1 * *", "2026-12-01T00:10:00", "Tue 00:00"),
        ("30 2 * * *", "2026-03-29T03:10:00", None),  # the clocks skipped it
        ("30 2 * * *", "2026-10-25T02:40:00", "Sun 02:30"),
    ],
)
def test_a_cron_expression_is_due_by_the_clocks_of_its_zone(
    expression: str, now: str, due: str | None
) -> None:
    assert told(expression, now) == due


def test_a_time_that_the_clocks_repeat_is_the_first() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)
    assert second.timestamp() - first.timestamp() == 3600
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert newest(cron, second.timestamp() - 1) == first.timestamp()
    assert newest(cron, second.timestamp()) is None


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    assert told("0 9 * * *", "2026-11-27T10:00:00", "UTC") == "Fri 10:00"


def test_what_is_no_cron_expression_is_refused() -> None:
    app = App("shop")
    with pytest.raises(UsageError, match="expected five fields"):
        app.cron("@daily")
    with pytest.raises(UsageError, match="timezone: expected the name of one"):
        app.cron("0 9 * * *", timezone="Berlin")
    app.cron("61 * * * *")(_nothing)
    with pytest.raises(SystemExit, match=r"'61 \* \* \* \*' is no cron expression"):
        seconds_between(app.periodic[0])
