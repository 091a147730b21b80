from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbcore import money
from dbcore.money import MAX_AMOUNT, AmountError, format_amount, parse_amount, parse_amount_and_note


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
        ("1,000,00", 2, money.NotANumber),
        ("10,00.00", 2, money.NotANumber),
        ("1,000.00.00", 2, money.NotANumber),
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
    written = format_amount(minor, exponent, "CREDIT").removesuffix(" CREDIT")
    if exponent == 3:
        written += "0"  # with three decimals alone it may be thousands
    assert parse_amount(written, exponent) == minor
    assert parse_amount(f"{written} CREDIT", exponent, "CREDIT") == minor


@given(st.text(max_size=80), st.integers(0, 8))
def test_no_text_breaks_the_reader(text: str, exponent: int) -> None:
    try:
        minor = parse_amount(text, exponent)
    except AmountError:
        return
    assert 0 < minor <= MAX_AMOUNT


SPACES = " \u00a0\u2009\u202f\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 000", "Did you mean 1 or 1000?"),
        ("2 500", "Did you mean 2 or 2500?"),
        ("12 000 rent", "Did you mean 12 or 12000?"),
        ("1 000 000", "Did you mean 1 or 1000000?"),
        ("1 00 000", "Did you mean 1 or 100000?"),
        ("5 2 pizzas", "Did you mean 5 or 52?"),
        ("5 .50", "read two ways"),
        ("5 - 3", "read two ways"),
        ("5 ½", "read two ways"),
        ("5 ٠٠٠", "read two ways"),
        ("5 \u200b000", "read two ways"),
        ("5 k", "whole amount in digits"),
        ("5 million", "whole amount in digits"),
        ("5 CREDIT 000", "read two ways"),
        ("5 CREDIT 5", "read two ways"),
        ("5 CREDIT 50", "Did you mean 5.50? Please write the amount as one number, such as 5.50."),
        ("5CREDIT 50 cents", "Did you mean 5.50?"),
        ("CREDIT 5 000", "Did you mean 5 or 5000?"),
        ("5 50", "Did you mean 5.50 or 550?"),
        ("5 CREDIT thousand", "whole amount in digits"),
        ("5CREDIT k", "whole amount in digits"),
        ("5 tsd", "whole amount in digits"),
        ("5 tys.", "whole amount in digits"),
        ("5 mila", "whole amount in digits"),
        ("5 cr", "whole amount in digits"),
        ("5 천", "whole amount in digits"),
        ("5 만", "whole amount in digits"),
        ("5 十", "whole amount in digits"),
        ("5 x 3", "whole amount as one number"),
        ("5 x3", "whole amount as one number"),
        ("5 times 3", "whole amount as one number"),
        ("5 and a half", "whole amount as one number"),
        ("5 CREDIT and 50 cents", "whole amount as one number"),
        ("5 point 5", "whole amount as one number"),
        ("5 point five", "whole amount as one number"),
        ("5 (thousand)", "whole amount in digits"),
        ("5 -thousand", "whole amount in digits"),
        ("5 tho\u00adusand", "whole amount in digits"),
        ("5 t\u200dhousand", "whole amount in digits"),
        ("5 ．50", "one number"),
        ("5 ，000", "one number"),
        ("5 ،50", "one number"),
        ("5 …thousand", "whole amount in digits"),
        ("5 thousand-ish", "whole amount in digits"),
        ("5 thou", "whole amount in digits"),
        ("5 k/day", "whole amount in digits"),
        ("5 ｋ", "whole amount in digits"),
        ("5 𝐤", "whole amount in digits"),
        ("5 kilo", "whole amount in digits"),
        ("5 fifty", "whole amount in digits"),
        ("5 CREDIT fifty", "whole amount in digits"),
        ("5 credits fifty cents", "whole amount in digits"),
        ("5 CREDIT half", "whole amount in digits"),
        ("5 hundred-fifty", "whole amount in digits"),
        ("5 with 50 cents", "whole amount as one number"),
        ("5 CREDIT/2", "whole amount as one number"),
        ("5 or 50", "whole amount as one number"),
        ("5 up to 50", "whole amount as one number"),
        ("5 = 6", "read two ways"),
        ("5 CREDIT five cents", "whole amount in digits"),
        ("5 credits ten cents", "whole amount in digits"),
        ("5 three", "whole amount in digits"),
        ("5 three.", "whole amount in digits"),
        ("5 three cents", "whole amount in digits"),
        ("5 two hundred", "whole amount in digits"),
        ("5 trillion", "whole amount in digits"),
        ("5 third", "whole amount in digits"),
        ("5 kilos", "whole amount in digits"),
        ("5 CREDIT/two", "whole amount as one number"),
        ("5 CREDIT/ 2", "whole amount as one number"),
        ("5 CREDIT-fifty", "whole amount as one number"),
        ("5 (CREDIT)/2", "whole amount as one number"),
        ("5 (CREDIT) /2", "whole amount as one number"),
        ("5 a hundred", "whole amount in digits"),
        ("5 a dozen", "whole amount in digits"),
        ("5 CREDIT a hundred", "whole amount in digits"),
        ("5 a few thousand", "whole amount in digits"),
        ("5 about a couple of hundred", "whole amount in digits"),
        ("5 a quarter", "whole amount in digits"),
        ("5 dozens", "whole amount in digits"),
        ("5 quadrillion", "whole amount in digits"),
        ("5 thirds", "whole amount in digits"),
        ("5 quarters", "whole amount in digits"),
        ("5 tenth", "whole amount in digits"),
        ("5 zero", "whole amount in digits"),
        ("5 two and a half", "whole amount in digits"),
        ("5 three quarters", "whole amount in digits"),
        ("5 two-thirds", "whole amount in digits"),
        ("5 two-thirds pizza", "whole amount in digits"),
        ("5 two dollars", "whole amount in digits"),
        ("5 two EUR", "whole amount in digits"),
        ("5 two, please", "whole amount in digits"),
        ("5 fünf", "whole amount in digits"),
        ("5 deux", "whole amount in digits"),
        ("5 пять", "whole amount in digits"),
        ("5 CREDIT two coffees", "whole amount in digits"),
        ("5 ~ 50", "read two ways"),
        ("5 ^ 2", "read two ways"),
    ],
)
def test_an_amount_is_never_cut_at_a_space(text: str, says: str) -> None:
    for space in SPACES:
        with pytest.raises(money.AmbiguousAmount, match=re.escape(says)):
            parse_amount_and_note(text.replace(" ", space), 2, "CREDIT")


@pytest.mark.parametrize(
    "text", ["1,234.50", "1.234,50", "1\u00a0234,50", "1\u202f234.50", "1,234.50 CREDIT", "CREDIT 1.234,50"]
)
def test_digits_in_groups_are_read_where_decimals_follow(text: str) -> None:
    assert parse_amount_and_note(f"{text} for lunch", 2, "CREDIT") == (123_450, "for lunch")


@pytest.mark.parametrize("space", sorted({*SPACES} - {"\u00a0", "\u202f"}))
def test_a_space_that_people_type_groups_no_digits(space: str) -> None:
    with pytest.raises(money.AmbiguousAmount, match=r"Did you mean 1 or 1000,50\?"):
        parse_amount_and_note(f"1{space}000,50", 2, "CREDIT")


@pytest.mark.parametrize("text", ["1,234", "1.234", "1\u00a0234", "1,234,567", "1.234.567"])
def test_digits_in_groups_without_decimals_are_refused(text: str) -> None:
    with pytest.raises(money.AmountError):
        parse_amount(text, 2, "CREDIT")


def test_where_no_note_is_asked_for_none_is_spoken_of() -> None:
    with pytest.raises(money.AmbiguousAmount, match=r"Did you mean 1 or 1000\?.* such as 1000\.$"):
        parse_amount("1 000", 2)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("5 for lunch", "for lunch"),
        ("5 no. 000", "no. 000"),
        ('5 "2 pizzas"', "2 pizzas"),
        ("5 “2 pizzas”", "2 pizzas"),
        ("5 “one” and “two”", "“one” and “two”"),
        ('5 "', '"'),
        ('5 ""', '""'),
        ("5 #12", "#12"),
        ("5 CREDIT “50 candles”", "50 candles"),
        ("5 “k”", "k"),
        ("5 and thanks", "and thanks"),
        ("5 x", "x"),
        ("5 by Bob", "by Bob"),
        ("5 i owe you", "i owe you"),
        ("5 ALL THE BEST", "ALL THE BEST"),
        ("5 - lunch", "- lunch"),
        ("5  two  words ", "two  words"),
        ("5 try", "try"),
        ("5 one more round", "one more round"),
        ("5 two coffees", "two coffees"),
        ("5 three-course dinner", "three-course dinner"),
        ("5 fünf Bier", "fünf Bier"),
        ("5 a coffee", "a coffee"),
        ("5 some of the rent", "some of the rent"),
        ("5 for a dozen eggs", "for a dozen eggs"),
        ("5 CREDIT-lunch", "CREDIT-lunch"),
        ("5 “three”", "three"),
        ("5 “to 2 friends”", "to 2 friends"),
        ("5 “half-time snacks”", "half-time snacks"),
        ("5\n\nthanks", "thanks"),
        ("5", ""),
    ],
)
def test_a_note_that_begins_with_no_number_follows_an_amount(text: str, note: str) -> None:
    assert parse_amount_and_note(text, 2, "CREDIT") == (500, note)


@pytest.mark.parametrize("exponent", range(3, 9))
@pytest.mark.parametrize("text", ["1,000", "1.000", "12,500", "999.999"])
def test_three_digits_behind_a_separator_are_refused_where_they_may_be_decimals(
    text: str, exponent: int
) -> None:
    with pytest.raises(money.AmbiguousAmount) as refused:
        parse_amount(text, exponent)
    thousands, with_decimals = re.findall(r"write (\S+) or (\S+)\.$", str(refused.value))[0]
    assert parse_amount(thousands, exponent) == int(re.sub(r"\D", "", text)) * 10**exponent
    assert parse_amount(with_decimals, exponent) == int(re.sub(r"\D", "", text)) * 10 ** (exponent - 3)


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [
        ("0.500", 3, 500),
        (".500", 3, 500),
        ("1000,500", 3, 1_000_500),
        ("1.2345", 4, 12_345),
        ("1.0000", 3, 1_000),
    ],
)
def test_decimals_that_are_no_thousands_are_read(text: str, exponent: int, minor: int) -> None:
    assert parse_amount(text, exponent) == minor


@pytest.mark.parametrize(
    "text",
    ["5 EUR", "5 eur", "EUR 5", "5EUR", "EUR5", "€5", "5€", "5 €", "€ 5", "5 euros", "5 EUR,", "5 Euro"],
)
def test_the_currency_may_stand_beside_its_amount_and_no_other(text: str) -> None:
    assert parse_amount_and_note(f"{text} for lunch", 2, "EUR") == (500, "for lunch")
    for ours in ("CREDIT", "USD"):
        with pytest.raises(money.OtherCurrency, match=f"Amounts are in {ours}, not in EUR"):
            parse_amount_and_note(f"{text} for lunch", 2, ours)
    with pytest.raises(money.OtherCurrency, match="without a currency"):
        parse_amount(text, 2)


@pytest.mark.parametrize(
    "text",
    [
        "$5",
        "5 dollars",
        "R$5",
        "5 USDT",
        "5 TRY",
        "5 cents",
        "5 ¢",
        "5 ₽",
        "5 руб.",
        "5 Kč",
        "5 ALL",
        "5 USD THANKS",
    ],
)
def test_an_amount_in_another_currency_is_refused(text: str) -> None:
    with pytest.raises(money.OtherCurrency):
        parse_amount_and_note(text, 2, "CREDIT")


def test_cents_are_no_amount_of_their_own_currency() -> None:
    with pytest.raises(money.OtherCurrency, match="in EUR, not in cents"):
        parse_amount_and_note("5 cents", 2, "EUR")


def readings(text: str) -> set[Fraction]:
    """Everything that somebody anywhere may mean by the number that a text begins with. A space that does not break
    ends no number: nobody types one, and the bot writes it between thousands.
    """
    run = re.match(r"[0-9.,'\s]*[0-9]", text)
    if run is None:
        return set()
    found = set()
    for piece in (run[0], re.split(r"[^\S\u00a0\u202f]", run[0], maxsplit=1)[0]):
        written = re.sub(r"[\s']+", ",", piece.rstrip(".,' "))
        groups = re.split(r"[.,]", written)
        is_grouped = re.fullmatch(r"[1-9]\d{0,2}", groups[0]) and all(len(group) == 3 for group in groups[1:])
        if len(groups) == 1 or is_grouped:
            found.add(Fraction("".join(groups)))
        if len(groups) > 1 and any(groups):
            found.add(Fraction(f"{''.join(groups[:-1]) or '0'}.{groups[-1] or '0'}"))
    return found


@given(
    st.text(alphabet="0012359.,' \u00a0\u202f\u2009\n", min_size=1, max_size=12),
    st.sampled_from(["", " rent", "€", " EUR", " EUR rent"]),
    st.integers(0, 8),
)
def test_whatever_is_read_has_one_reading(number: str, behind: str, exponent: int) -> None:
    text = (number + behind).strip()
    try:
        minor, note = parse_amount_and_note(text, exponent, "EUR")
    except AmountError:
        return
    possible = {value for value in readings(text) if (value * 10**exponent).denominator == 1}
    assert possible == {Fraction(minor, 10**exponent)}
    assert not re.search(r"\d", note)


def sentence(text: str, exponent: int, currency: str | None) -> str:
    try:
        parse_amount_and_note(text, exponent, currency)
    except AmountError as error:
        return str(error)
    return ""


@given(st.text(max_size=40), st.integers(0, 8), st.sampled_from(["CREDIT", "EUR", "TON", None]))
def test_what_is_refused_can_be_shown_as_it_is(text: str, exponent: int, currency: str | None) -> None:
    """The sentences go into Telegram's HTML."""
    said = sentence(text, exponent, currency)
    assert not set("<>&") & set(said)
    assert len(said) < 300


def test_amounts_are_written_with_the_currency_s_decimals() -> None:
    assert format_amount(550, 2, "CREDIT") == "5.50 CREDIT"
    assert format_amount(-5, 2, "CREDIT") == "-0.05 CREDIT"
    assert format_amount(0, 0, "STAR") == "0 STAR"
