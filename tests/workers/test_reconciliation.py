"""When Telegram's book of Stars is read: once a night by the clocks of TIMEZONE, and until it is read to its end."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ballast.reconciling.record import Finished, Record
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from workers.tasks.reconciliation import is_due

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(
        telegram_bot_token="1:A", stars_support="us", stars_terms="ours", timezone=BERLIN.key
    )


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 11, day, hour, minute, tzinfo=BERLIN).timestamp()


def read_at(moment: float) -> Record:
    return Record(finished=Finished(moment, moment, 0, 0, 0, 0, {}, 0, ()))


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (at(1, 4, 1), at(2, 3, 59), False),
        (at(1, 4, 1), at(2, 4, 0), True),
        (at(1, 3, 59), at(1, 4, 0), True),
        (at(2, 4, 0), at(2, 23, 0), False),
        (at(1, 12), at(9, 1), True),
    ],
)
def test_the_book_is_read_once_a_night(settings: Settings, last: float, now: float, due: bool) -> None:
    assert is_due(read_at(last), now, settings) is due


def test_it_is_read_at_first_and_after_it_was_broken_off_but_not_without_payments(
    settings: Settings, make_settings: MakeSettings
) -> None:
    assert is_due(Record(), at(1, 12), settings)
    assert is_due(Record(begun_at=at(1, 4), finished=read_at(at(1, 4)).finished), at(1, 5), settings)
    never = settings.model_copy(update={"stars_reconcile_at": "never"})
    assert not is_due(Record(), at(1, 12), never)
    assert is_due(Record(begun_at=at(1, 4)), at(1, 12), never)
    assert not is_due(Record(), at(1, 12), make_settings(telegram_bot_token="1:A"))
