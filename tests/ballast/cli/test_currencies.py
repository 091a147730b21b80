"""Several currencies from the shell: rates and floors, money for exchanges, and credits in each currency."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.exchanging.reading import Wanted, read
from dbcore.currencies import Currencies, Currency
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import exchanges, users
from dbcore.ledger.audit import audit
from dbcore.money import AmountError, Money
from tests.conftest import MakeSettings
from tests.harness.programs import run_program

CURRENCIES = "EUR:2:Euro:€,TON:9"


@pytest.fixture
def engine(database_url: str, make_settings: MakeSettings) -> GuardedEngine:
    return GuardedEngine(make_settings(database_url=database_url, currencies=CURRENCIES))


def test_rates_money_for_exchanges_and_credits_are_set_from_the_shell(
    engine: GuardedEngine, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    def ballast(*words: str) -> tuple[int, str]:
        given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CURRENCIES": CURRENCIES}
        done = run_program(["-m", "ballast", *words], tmp_path, **given)
        return done.returncode, done.stdout + done.stderr

    ann = users.Profile(1, "ann", "Ann")
    users.get_or_create(engine, profile=ann)
    assert ballast("exchange", "rate", "EUR", "CREDIT", "1.10", "--key", "r", "--yes") == (
        0,
        "1 EUR = 1.10 CREDIT\ndone\n",
    )
    assert "done before" in ballast("exchange", "rate", "EUR", "CREDIT", "1.10", "--key", "r", "--yes")[1]
    for wrong in (("EUR", "EUR", "1"), ("EUR", "GBP", "1"), ("EUR", "CREDIT", "0"), ("EUR", "CREDIT", "a")):
        assert ballast("exchange", "rate", *wrong, "--yes")[0] == 2
    assert ballast("exchange", "rate", "TON", "CREDIT", "off", "--yes")[0] == 0
    assert ballast("exchange", "floor", "500 EUR") == (0, "done\n")
    assert ballast("books", "--move", "1000 CREDIT", "house", "exchange", "--key", "fund")[0] == 0
    shown = ballast("exchange", "show")[1]
    assert "1 EUR = 1.10 CREDIT  by operator:" in shown
    assert "1 TON = off" in shown
    assert "exchange: 1000.00 CREDIT, not below 0.00 CREDIT" in shown
    assert "exchange: 0.00 EUR, not below -500.00 EUR" in shown

    credited = ballast("credit", "@ann", "5 €", "--reason", "x", "--yes")[1]
    assert "Balance after: 5.00 EUR" in credited
    assert "credited 5.00 EUR, transfer" in credited
    assert ballast("credit", "@ann", "0.5 TON", "--reason", "x", "--yes")[0] == 0
    assert (
        "Amounts are in one of CREDIT, EUR, TON, not in GBP."
        in ballast("debit", "@ann", "5 GBP", "--reason", "x")[1]
    )
    card = ballast("user", "@ann")[1]
    assert "5.00 EUR" in card
    assert "0.500000000 TON" in card
    asked = exchanges.create(
        engine, key="k", profile=ann, given_amount=500, given_currency="EUR", got_currency="CREDIT"
    )
    assert exchanges.decide(engine, key="d", token=asked.token, presser=ann, confirm=True).got_amount == 550
    assert "cannot be reversed" in ballast("reverse", "5", "--reason", "x", "--yes")[1]

    rows = list(csv.DictReader(io.StringIO(ballast("transfers", "--csv")[1])))
    assert {(row["kind"], row["amount"], row["currency"]) for row in rows} >= {
        ("exchange_given", "5.00", "EUR"),
        ("exchange_got", "5.50", "CREDIT"),
        ("credit", "0.500000000", "TON"),
    }
    sheet = {
        (row["currency"], row["account"]): row["balance"] for row in json.loads(ballast("books", "--json")[1])
    }
    assert sheet["EUR", "exchange"] == "5.00"
    assert sheet["TON", "users"] == "0.500000000"
    assert sheet["CREDIT", "exchange"] == "994.50"
    assert ballast("export", "out")[0] == 0
    assert "-0.500000000" not in (tmp_path / "out/entries.csv").read_text()
    assert "0.500000000,TON" in (tmp_path / "out/entries.csv").read_text()
    assert ",5.00,EUR,5.50,CREDIT," in (tmp_path / "out/exchanges.csv").read_text()
    assert ballast("export", "--verify", "out")[0] == 0
    assert all(finding.ok for finding in audit(database_url))
    engine.dispose()


CREDIT, EURO = Currency("CREDIT", 2), Currency("EUR", 2, "Euro", "€")
OURS = Currencies(CREDIT, EURO)


@pytest.mark.parametrize(
    "text",
    [
        "5 EUR CREDIT",
        "5€ credits",
        "€5 to CREDIT",
        "EUR 5,00 in credit",
        "5 euros → CREDIT",
        "  5 EUR   CREDIT ",
    ],
)
def test_an_exchange_is_read_with_both_currencies(text: str) -> None:
    assert read(text, OURS) == Wanted(Money(500, EURO), CREDIT)


@pytest.mark.parametrize(
    "text", ["", "5", "EUR", "5 EUR", "5 CREDIT CREDIT", "5 EUR GBP", "5 to EUR", "EUR CREDIT 5"]
)
def test_an_exchange_without_two_currencies_is_no_guess(text: str) -> None:
    assert read(text, OURS) is None


@given(st.text(max_size=40))
def test_whatever_is_written_is_an_exchange_or_refused(text: str) -> None:
    try:
        wanted = read(text, OURS)
    except AmountError:
        return
    assert wanted is None or (wanted.given.minor > 0 and wanted.given.currency != wanted.got)
