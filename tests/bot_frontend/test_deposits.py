"""Which payments may take place, decided from memory alone."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from ballast.builtin import star_invoices
from ballast.builtin.star_invoices import StarInvoice
from ballast.chat.origins import Origin
from ballast.subscriptions import invoices
from bot_frontend.deposits import asks, invoice_of, off, packages, refusal
from dbcore.settings import Settings, SettingsError, load_settings
from devstack.stack import TOKEN
from tests.conftest import MakeSettings

LATER = 2**33
PROMISED = StarInvoice(stars=50, amount=5_000, currency="CREDIT", until=LATER)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(telegram_bot_token=TOKEN, stars_support="Ask us.", stars_terms="Be kind.")


def query(payload: str, stars: int = 50, currency: str = "XTR") -> dict[str, Any]:
    return {"id": "1", "currency": currency, "total_amount": stars, "invoice_payload": payload}


def test_an_invoice_of_ours_may_be_paid_and_its_payload_fits(settings: Settings) -> None:
    most = StarInvoice(10_000, 10**15, "ABCDEFGHIJKL", 99_999_999_999)
    assert len(star_invoices.write(most, settings)) <= 128
    payload = star_invoices.write(PROMISED, settings)
    assert star_invoices.read(payload, settings) == PROMISED
    assert refusal(query(payload), settings) is None
    changed_rate = settings.model_copy(update={"stars_rate": 7})
    assert refusal(query(payload), changed_rate) is None  # what was promised holds


def test_anything_else_is_refused_with_a_sentence(settings: Settings, make_settings: MakeSettings) -> None:
    payload = star_invoices.write(PROMISED, settings)
    others = make_settings(telegram_bot_token="123456:OTHER")
    foreign = star_invoices.write(PROMISED, others)
    tampered = payload.replace(":5000:", ":9000:")
    old = star_invoices.write(StarInvoice(50, 5_000, "CREDIT", int(time.time()) - 1), settings)
    euros = star_invoices.write(StarInvoice(50, 5_000, "EUR", LATER), settings)
    for wrong in (
        query(tampered),
        query(foreign),
        query("an invoice"),
        query(payload, stars=49),
        query(payload, currency="EUR"),
        query(euros),
        {"id": "1"},
    ):
        said = refusal(wrong, settings)
        assert said is not None and "is not valid" in said
    assert "has expired" in (refusal(query(old), settings) or "")


@pytest.mark.parametrize("unset", ["stars_support", "stars_terms"])
def test_without_support_and_terms_nobody_pays(settings: Settings, unset: str) -> None:
    without = settings.model_copy(update={unset: None})
    assert refusal(query(star_invoices.write(PROMISED, settings)), without) == off()


def test_a_subscription_may_be_paid_while_its_plan_is_on_offer_at_its_price(settings: Settings) -> None:
    plans = settings.model_copy(update={"stars_subscriptions": "premium:250:Premium"})
    (plan,) = plans.subscription_plans
    payload = invoices.write(plan, plans)
    assert refusal(query(payload, 250), plans) is None
    dearer = plans.model_copy(update={"stars_subscriptions": "premium:300:Premium"})
    for wrong, at in (
        (query(payload, 249), plans),
        (query(payload, 250, "EUR"), plans),
        (query(payload.replace("premium", "pro"), 250), plans),
        (query(payload, 250), dearer),
        (query(payload, 250), settings),
    ):
        said = refusal(wrong, at)
        assert said is not None and "no longer offered" in said
    without = plans.model_copy(update={"stars_terms": None})
    assert refusal(query(payload, 250), without) == off()


def test_stars_that_are_no_whole_amount_get_no_invoice(settings: Settings) -> None:
    origin = Origin(8, 8)
    rate = settings.model_copy(update={"stars_rate": Decimal("0.0025")})
    (refused,) = invoice_of("3", origin, rate)
    assert refused.invoice is None and "no whole amount" in refused.text
    (made,) = invoice_of("4", origin, rate)
    assert made.invoice is not None and made.invoice.stars == 4
    written = star_invoices.read(made.invoice.payload, rate)
    assert written is not None and written.amount == 1
    for wrong in ("0", "10001", "x", "5.5", "-3", "٥"):
        (said,) = invoice_of(wrong, origin, rate)
        assert said.invoice is None


def test_who_names_no_provider_that_there_is_reads_which_there_are(settings: Settings) -> None:
    assert not asks("paypal 5", settings) and asks("", settings)
    (stars_alone,) = packages(Origin(8, 8), 8, settings)
    assert "How many Telegram Stars" in stars_alone.text
    with_stripe = settings.model_copy(
        update={"stripe_key": SecretStr("rk_1"), "stripe_webhook_secret": SecretStr("whsec_1")}
    )
    assert asks("paypal 5", with_stripe) and asks("5,50", with_stripe) and not asks("50", with_stripe)
    (asked,) = packages(Origin(8, 8), 8, with_stripe)
    assert "/deposit 50 for Telegram Stars" in asked.text and "/deposit stripe 5 for Stripe" in asked.text


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("STARS_RATE", "0"),
        ("STARS_RATE", "NaN"),
        ("STARS_RATE", "1e999999"),
        ("STARS_RATE", "0.0001"),  # 50 Stars would be half a minor unit
        ("STARS_PACKAGES", "50;100"),
        ("STARS_PACKAGES", "20000"),
    ],
)
def test_a_rate_and_packages_that_do_not_come_out_whole_stop_the_process(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.setenv(option, value)
    with pytest.raises(SettingsError, match="STARS_"):
        load_settings()
