"""Each line of Telegram's book is named as what it is; only an invoice of this bot is credited."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from ballast.builtin import star_invoices
from ballast.builtin.star_invoices import StarInvoice
from ballast.operators.csv_text import csv_text
from ballast.reconciling import transactions
from dbcore.settings import Settings
from tests.conftest import MakeSettings

USER = {"id": 7, "is_bot": False, "first_name": "Ann"}


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(telegram_bot_token="123456:LOCAL")


def line(partner: dict[str, Any], *, out: bool = False, **more: Any) -> dict[str, Any]:
    side = "receiver" if out else "source"
    return {"id": "c", "amount": 50, "date": 1_700_000_000, side: partner, **more}


@pytest.mark.parametrize(
    ("partner", "out", "purpose"),
    [
        ({"type": "user", "transaction_type": "invoice_payment", "user": USER}, False, "payment"),
        ({"type": "user", "transaction_type": "invoice_payment", "user": USER}, True, "refund"),
        ({"type": "user", "transaction_type": "paid_media_payment", "user": USER}, False, "paid_media"),
        ({"type": "user", "transaction_type": "gift_purchase", "user": USER}, True, "gift"),
        ({"type": "user", "transaction_type": "of tomorrow", "user": USER}, True, "other"),
        ({"type": "fragment", "withdrawal_state": {"type": "succeeded"}}, True, "withdrawal"),
        ({"type": "telegram_ads"}, True, "advertisement"),
        ({"type": "telegram_api", "request_count": 5}, True, "paid_broadcast"),
        ({"type": "affiliate_program", "commission_per_mille": 5}, False, "affiliate_commission"),
        ({"type": "other"}, False, "other"),
        ({"type": "of tomorrow"}, False, "other"),
    ],
)
def test_each_kind_of_transaction_has_its_name(
    settings: Settings, partner: dict[str, Any], out: bool, purpose: str
) -> None:
    read = transactions.read(line(partner, out=out), settings)
    assert (read.purpose, read.is_outgoing, read.invoice_amount) == (purpose, out, None)
    assert read.telegram_id == (7 if "user" in partner else None)


def test_a_payment_is_worth_what_its_signed_invoice_says_and_only_for_those_stars(settings: Settings) -> None:
    payload = star_invoices.write(StarInvoice(50, 5_000, "CREDIT", 1_700_000_100), settings)
    partner = {
        "type": "user",
        "transaction_type": "invoice_payment",
        "user": USER,
        "invoice_payload": payload,
    }
    assert transactions.read(line(partner), settings).invoice_amount == 5_000
    assert transactions.read(line(partner, amount=51), settings).invoice_amount is None
    assert transactions.read(line(partner, nanostar_amount=1), settings).invoice_amount is None
    forged = {**partner, "invoice_payload": payload.replace(":5000:", ":9000:")}
    assert transactions.read(line(forged), settings).invoice_amount is None
    job = transactions.job_of(line(partner), is_refund=False)
    assert (job.telegram_id, job.charge_id, job.amount, job.event) == (7, "c", 50, "paid")


def test_a_spreadsheet_runs_nothing_of_the_csv() -> None:
    text = csv_text(("a", "b"), [{"a": "=1+1", "b": -5}, {"a": 'x"y,\nz', "b": None}])
    assert [*csv.reader(io.StringIO(text))] == [["a", "b"], ["'=1+1", "-5"], ['x"y, z', ""]]
