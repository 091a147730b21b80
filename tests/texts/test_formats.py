"""Amounts, numbers and times by locale; and no amount that the bot shows is read as another one."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.texts import LANGUAGES, speaking
from ballast.texts.formats import amount, day, day_and_time, decimals, duration, number, share
from dbcore.money import MAX_AMOUNT, AmountError, parse_amount, parse_amount_and_note


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", "1,234,567.50 CREDIT"),
        ("de", "1.234.567,50 CREDIT"),
        ("es", "1.234.567,50 CREDIT"),
        ("pt_BR", "1.234.567,50 CREDIT"),
        ("ru", "1\u00a0234\u00a0567,50 CREDIT"),
        ("uk", "1\u00a0234\u00a0567,50 CREDIT"),
        ("ar", "1,234,567.50 CREDIT"),
        ("fa", "1,234,567.50 CREDIT"),
        ("en_XA", "1,234,567.50 CREDIT"),
    ],
)
def test_an_amount_is_written_as_its_language_writes_it(language: str, shown: str) -> None:
    with speaking(language):
        assert amount(123_456_750, 2, "CREDIT") == shown


@given(
    minor=st.integers(1, MAX_AMOUNT),
    exponent=st.sampled_from([0, 1, 2, 3, 8]),
    language=st.sampled_from(LANGUAGES),
)
def test_no_amount_that_is_shown_is_read_as_another_one(minor: int, exponent: int, language: str) -> None:
    with speaking(language):
        shown = amount(minor, exponent, "CREDIT")
    for text in (shown, shown.removesuffix(" CREDIT")):
        try:
            read = parse_amount(text, exponent, "CREDIT")
        except AmountError:
            # Without decimals `1,234` may be meant as decimals, and with three of them as thousands.
            assert exponent != 2
        else:
            assert read == minor


@given(minor=st.integers(1, MAX_AMOUNT), language=st.sampled_from(LANGUAGES))
def test_an_amount_that_is_shown_can_be_copied_into_a_command(minor: int, language: str) -> None:
    with speaking(language):
        shown = amount(minor, 2, "CREDIT")
    assert parse_amount_and_note(f"{shown} for lunch", 2, "CREDIT") == (minor, "for lunch")


def test_numbers_shares_and_decimals() -> None:
    with speaking("de"):
        assert (number(1_234_567), share(0.5), decimals(1_234.56, 1)) == ("1.234.567", "50 %", "1.234,6")
    assert (number(1_234_567), share(0.5), decimals(1_234.56, 1)) == ("1,234,567", "50%", "1,234.6")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (40, "40 s"), (719, "12 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_rounded_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_times_are_by_the_clocks_of_a_zone_and_the_habits_of_a_language() -> None:
    moment = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert day_and_time(moment, berlin) == "2026-11-28 00:30"
    with speaking("de"):
        assert day_and_time(moment, berlin) == "28.11.2026 00:30"
    with speaking("es"):
        assert day(moment) == "27/11/2026"
    with speaking("en_XA"):
        assert day(moment) == "2026-11-27"
