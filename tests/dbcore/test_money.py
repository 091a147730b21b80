from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbcore import money
from dbcore.money import MAX_AMOUNT, AmountError, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [
        ("5", 2, 500),
        ("5.5", 2, 550),
        ("5,50", 2, 550),
        (" 0.01 ", 2, 1),
        (".5", 2, 50),
        ("5.", 2, 500),
        ("007", 0, 7),
        ("10000000000000.00", 2, MAX_AMOUNT),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, exponent: int, minor: int) -> None:
    assert parse_amount(text, exponent) == minor


@pytest.mark.parametrize(
    ("text", "exponent", "error"),
    [
        ("", 2, money.NotANumber),
        (".", 2, money.NotANumber),
        ("five", 2, money.NotANumber),
        ("1e3", 2, money.NotANumber),
        ("NaN", 2, money.NotANumber),
        ("inf", 2, money.NotANumber),
        ("1,000.00", 2, money.NotANumber),
        ("1_000", 2, money.NotANumber),
        ("+5", 2, money.NotANumber),
        ("٥", 2, money.NotANumber),
        ("²", 2, money.NotANumber),
        ("0x10", 2, money.NotANumber),
        ("9" * 5_000, 2, money.NotANumber),
        ("0", 2, money.ZeroAmount),
        ("0.00", 2, money.ZeroAmount),
        ("-5", 2, money.NegativeAmount),
        ("5.001", 2, money.TooManyDecimals),
        ("5.0", 0, money.TooManyDecimals),
        ("10000000000000.01", 2, money.AmountTooLarge),
        ("9" * 60, 2, money.AmountTooLarge),
    ],
)
def test_what_is_no_amount_is_refused_with_a_sentence(
    text: str, exponent: int, error: type[AmountError]
) -> None:
    with pytest.raises(AmountError) as refused:
        parse_amount(text, exponent)
    assert refused.type is error
    assert str(refused.value).endswith(".")


@given(st.integers(1, MAX_AMOUNT), st.integers(0, 8))
def test_an_amount_written_out_is_read_back(minor: int, exponent: int) -> None:
    written = format_amount(minor, exponent, "CREDIT")
    assert parse_amount(written.removesuffix(" CREDIT"), exponent) == minor


@given(st.text(max_size=80), st.integers(0, 8))
def test_no_text_breaks_the_reader(text: str, exponent: int) -> None:
    try:
        minor = parse_amount(text, exponent)
    except AmountError:
        return
    assert 0 < minor <= MAX_AMOUNT


def test_amounts_are_written_with_the_currency_s_decimals() -> None:
    assert format_amount(550, 2, "CREDIT") == "5.50 CREDIT"
    assert format_amount(-5, 2, "CREDIT") == "-0.05 CREDIT"
    assert format_amount(0, 0, "STAR") == "0 STAR"
