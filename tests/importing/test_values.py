"""One value: what it means, and what is said of one that means nothing or two things."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbcore.importing import values
from dbcore.importing.values import InvalidValue
from dbcore.money import MAX_AMOUNT


def test_behind_a_point_are_decimals_and_behind_a_comma_maybe_thousands() -> None:
    assert values.amount("1.234", 3, minor=False) == 1234
    with pytest.raises(InvalidValue, match=r"Did you mean 1234 or 1\.234"):
        values.amount("1,234", 3, minor=False)


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.integers(0, 8))
def test_an_exact_amount_is_read_to_the_last_unit(units: int, exponent: int) -> None:
    exact = Decimal(units).scaleb(-exponent)
    for written in (exact, format(exact, "f")):
        assert values.amount(written, exponent, minor=False) == units
    assert values.amount(units, exponent, minor=True) == units
    assert values.amount(str(units), exponent, minor=True) == units


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("12.50", 1250),
        ("12,50", 1250),
        (" 7 ", 700),
        ("-0.01", -1),
        ("12.5000", 1250),
        ("0", 0),
        ("0.00", 0),
        (3, 300),
    ],
)
def test_amounts_as_bots_write_them(value: Any, units: int) -> None:
    assert values.amount(value, 2, minor=False) == units


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (12.5, "the float 12.5: a float is not exact"),
        ("1.005", "'1.005'"),
        ("1,000.00", "'1,000.00'"),
        ("1.000,00", "'1.000,00'"),
        ("1 000", "'1 000'"),
        ("1e3", "'1e3'"),
        ("--5", "'--5'"),
        ("+5", "'+5'"),
        ("", "nothing"),
        (None, "nothing"),
        (True, "the bool True"),
        ("nan", "'nan'"),
        (Decimal("NaN"), "the decimal NaN"),
        (Decimal("1E+900000"), "the decimal 1E+900000"),
        (Decimal("0.001"), "the decimal 0.001"),
        (10**17, f"the int {10**17}"),
        ("٣", "'٣'"),
    ],
)
def test_an_amount_that_is_not_certain_is_refused_with_what_was_found(value: Any, found: str) -> None:
    with pytest.raises(InvalidValue, match=r"^expected") as raised:
        values.amount(value, 2, minor=False)
    assert f"found {found}" in str(raised.value)


@pytest.mark.parametrize(
    ("value", "exponent", "write"),
    [
        ("1.000", 2, "Write 1000 or 1.00"),
        ("-1,000", 2, "Write 1000 or 1.00"),
        ("1.500", 2, "Write 1500 or 1.50"),
        ("999.000", 1, "Write 999000 or 999.0"),
        ("15.000", 0, "Write 15000 or 15"),
    ],
)
def test_what_may_be_thousands_is_refused_with_how_to_write_it(value: str, exponent: int, write: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        values.amount(value, exponent, minor=False)
    assert str(raised.value).endswith(f"found '{value}'. {write}")


def test_a_decimal_of_a_database_is_never_thousands() -> None:
    assert values.amount(Decimal("1.000"), 2, minor=False) == 100
    assert values.amount(Decimal("15.000"), 0, minor=False) == 15
    assert values.amount(Decimal("1250.00"), 0, minor=True) == 1250


@pytest.mark.parametrize(("value", "units"), [("0.500", 50), ("1000.000", 100_000), ("12.5000", 1250)])
def test_decimals_that_cannot_be_thousands_may_end_in_zeros(value: str, units: int) -> None:
    assert values.amount(value, 2, minor=False) == units


@pytest.mark.parametrize("value", ["12.50", "12.00", "1.000", "12,", Decimal("0.5"), 0.5])
def test_minor_units_are_whole(value: Any) -> None:
    with pytest.raises(InvalidValue):
        values.amount(value, 2, minor=True)


@pytest.mark.parametrize("value", ["-5", "5.0", "5e9", "", None, 0, 2**52, 5.0, True, "@bob"])
def test_what_is_no_telegram_id_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValue, match="expected a user's Telegram ID"):
        values.telegram_id(value)


def test_times_without_a_zone_are_of_the_zone_that_was_said() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = datetime(2024, 5, 1, 10, tzinfo=UTC)
    for written in (
        "2024-05-01 12:00:00",
        "2024-05-01T10:00:00Z",
        datetime(2024, 5, 1, 12),  # noqa: DTZ001
        int(noon.timestamp()),
    ):
        assert values.moment(written, berlin) == noon
    assert values.moment(date(2024, 5, 1), UTC) == datetime(2024, 5, 1, tzinfo=UTC)
    assert values.moment("", UTC) is None


def test_seconds_of_a_numeric_are_a_time() -> None:
    assert values.moment(Decimal("1714557600.123456"), UTC) == datetime(
        2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+900000")]
)
def test_a_numeric_that_is_no_time_is_refused(value: Decimal) -> None:
    with pytest.raises(InvalidValue, match="expected a time since August 2013"):
        values.moment(value, UTC)


@pytest.mark.parametrize("value", ["1970-01-01", "2999-01-01", 1714557600000, "May", True])
def test_a_time_that_no_bot_can_have_seen_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValue, match="expected a time since August 2013"):
        values.moment(value, UTC)
