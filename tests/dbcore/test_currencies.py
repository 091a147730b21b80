"""Several currencies: how CURRENCIES is read, and amounts beside which one of them stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbcore.currencies import Currencies, Currency
from dbcore.money import (
    AmbiguousAmount,
    AmountError,
    Money,
    OtherCurrency,
    TooManyDecimals,
    format_amount,
    parse_money,
    parse_money_and_note,
)
from dbcore.settings import SettingsError, load_settings
from tests.conftest import MakeSettings

CREDIT = Currency("CREDIT", 2)
EURO = Currency("EUR", 2, "Euro", "€")
TON = Currency("TON", 9)
YEN = Currency("JPY", 0, "Yen", "¥")
OURS = Currencies(CREDIT, EURO, TON, YEN)


def test_the_setting_is_read_and_the_first_currency_stays_the_one_of_before(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(CURRENCIES=" EUR:2:Euro:€ , TON:9 ", CURRENCY_EXPONENT="3")
    assert settings.currencies == (EURO, TON)
    assert list(settings.known_currencies) == [Currency("CREDIT", 3), EURO, TON]
    assert list(make_settings(CURRENCIES="").known_currencies) == [CREDIT]


@pytest.mark.parametrize(
    "given",
    [
        *(
            "eur:2",
            "EUR",
            "EUR:",
            "EUR:-1",
            "EUR:10",
            "E:2",
            "EUR:2:",
            "EUR:2::€",
            "EUR:2:Euro:",
            "EUR:2:Euro:€:x",
        ),
        *("EUR:2:5Euro", "EUR:2:Euro:5", "EUR:2:Euro:.", "EUR;2", "EUR:2 TON:9", "TOOLONGCODE12:2"),
        *("CREDIT:2", "EUR:2,EUR:2", "EUR:2:Credit", "EUR:2:credits", "EUR:2:Ton,TON:9", "EUR:2:Tons,TON:9"),
        *("USD:2:Dollar:$,AUD:2:Dollars:A$", "USD:2:Dollar:$,AUD:2:Aussie:$"),
        ",".join(f"C{number}:2" for number in range(20)),
    ],
)
def test_what_is_no_list_of_currencies_stops_the_process(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CURRENCIES", given)
    with pytest.raises(SettingsError, match="CURRENCIES: expected"):
        load_settings()


def test_settings_in_another_currency_have_its_decimals(make_settings: MakeSettings) -> None:
    settings = make_settings(CURRENCIES="EUR:2:Euro:€,TON:9")
    assert settings.in_currency(None) is settings is settings.in_currency("CREDIT")
    ton = settings.in_currency("TON")
    assert (ton.currency, ton.currency_exponent) == ("TON", 9)
    assert {each.code for each in ton.known_currencies} == {"CREDIT", "EUR", "TON"}
    gone = settings.in_currency("GBP")
    assert format_amount(550, gone.currency_exponent, gone.currency) == "550 GBP minor units"


@pytest.mark.parametrize(
    ("text", "minor", "currency", "note"),
    [
        ("5", 500, CREDIT, ""),
        ("5 for lunch", 500, CREDIT, "for lunch"),
        ("5 credits for lunch", 500, CREDIT, "for lunch"),
        ("5 EUR", 500, EURO, ""),
        ("5 eur for lunch", 500, EURO, "for lunch"),
        ("5€ for lunch", 500, EURO, "for lunch"),
        ("€5", 500, EURO, ""),
        ("EUR 5,50", 550, EURO, ""),
        ("5 euros", 500, EURO, ""),
        ("€5 EUR", 500, EURO, ""),
        ("5.5 TON", 5_500_000_000, TON, ""),
        ("0.000000001 ton", 1, TON, ""),
        ("¥500", 500, YEN, ""),
        ("1,234.50 EUR", 123_450, EURO, ""),
        ("5 EUR “50 cakes”", 500, EURO, "50 cakes"),
    ],
)
def test_an_amount_is_of_the_currency_beside_it(text: str, minor: int, currency: Currency, note: str) -> None:
    assert parse_money_and_note(text, OURS) == (Money(minor, currency), note)


@pytest.mark.parametrize("text", ["5 GBP", "£5", "5 dollars", "US$5", "5 USDT for lunch", "5 cents"])
def test_a_currency_that_is_not_there_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(OtherCurrency, match="CREDIT, EUR, TON, JPY"):
        parse_money_and_note(text, OURS)


@pytest.mark.parametrize("text", ["€5 TON", "EUR 5 TON", "5€ TON", "TON 5€", "€5 credits"])
def test_two_currencies_beside_one_amount_are_refused(text: str) -> None:
    with pytest.raises(OtherCurrency, match="Did you mean"):
        parse_money_and_note(text, OURS)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("500.5 JPY", TooManyDecimals),
        ("5.123 EUR", TooManyDecimals),
        ("1.000 TON", AmbiguousAmount),
        ("1 000 EUR", AmbiguousAmount),
        ("5 EUR 50", AmbiguousAmount),
        ("5 EUR and 3 TON", AmbiguousAmount),
        ("5 EUR/2", AmbiguousAmount),
    ],
)
def test_decimals_and_second_numbers_are_judged_by_the_currency_that_is_named(
    text: str, error: type[AmountError]
) -> None:
    with pytest.raises(error):
        parse_money_and_note(text, OURS)


@given(st.integers(1, 10**15), st.sampled_from(list(OURS)))
def test_what_is_written_of_an_amount_is_read_as_that_amount_or_refused(
    minor: int, currency: Currency
) -> None:
    written = format_amount(minor, currency.exponent, currency.code)
    try:
        assert parse_money(written, OURS) == Money(minor, currency)
    except AmbiguousAmount:
        assert currency is TON
