"""What an invoice of a subscription and the reports of its payments say."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.builtin.payments import RecordPayment
from ballast.reconciling import transactions
from ballast.subscriptions import charges, invoices
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS
from dbcore.settings import Settings, SettingsError, load_settings
from dbcore.subscription_plans import SubscriptionPlan, read_plans
from tests.conftest import MakeSettings

PLAN = SubscriptionPlan("premium", 250, "Premium")
DATE = 1_700_000_000


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(
        telegram_bot_token="123456:LOCAL", stars_subscriptions="premium:250:Premium; pro:900:Pro: all"
    )


def report(payload: str, amount: int = 250, **details: Any) -> RecordPayment:
    return RecordPayment(
        telegram_id=7,
        event="paid",
        charge_id="c",
        amount=amount,
        currency="XTR",
        payload=payload,
        details=details,
        said_at=DATE,
    )


def test_plans_are_read_with_whatever_stands_in_their_title() -> None:
    assert read_plans("premium:250:Premium; pro : 900 : Pro: all ;") == (
        PLAN,
        SubscriptionPlan("pro", 900, "Pro: all"),
    )
    assert read_plans("") == ()


@pytest.mark.parametrize(
    "value",
    [
        *("premium", "premium:0:P", "premium:10001:P", "Premium:250:P", "premium:250:", "a:1:A; a:2:B"),
        *(f"premium:250:{'x' * 33}", "premium:2.5:P", ";".join(f"p{number}:1:P" for number in range(13))),
    ],
)
def test_what_lists_no_plans_stops_the_process(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("STARS_SUBSCRIPTIONS", value)
    with pytest.raises(SettingsError, match="STARS_SUBSCRIPTIONS"):
        load_settings()


def test_stars_that_are_no_whole_amount_stop_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARS_SUBSCRIPTIONS", "premium:250:Premium")
    monkeypatch.setenv("STARS_RATE", "0.00001")
    monkeypatch.setenv("STARS_PACKAGES", "1000")
    with pytest.raises(SettingsError, match="STARS_SUBSCRIPTIONS"):
        load_settings()


def test_each_link_is_an_invoice_of_its_own_that_only_this_bot_can_write(
    settings: Settings, make_settings: MakeSettings
) -> None:
    payload, again = invoices.write(PLAN, settings), invoices.write(PLAN, settings)
    assert payload != again and len(payload) <= 128
    assert invoices.on_offer(payload, settings) == PLAN
    foreign = invoices.write(PLAN, make_settings(telegram_bot_token="123456:OTHER"))
    for wrong in (
        foreign,
        payload.replace(":250:", ":1:"),
        payload.replace("premium", "pro"),
        payload + "x",
        "",
    ):
        assert invoices.on_offer(wrong, settings) is None
    for offered in ("pro:900:Pro", "premium:251:Premium", None):
        other = settings.model_copy(update={"stars_subscriptions": offered})
        assert invoices.on_offer(payload, other) is None
    assert invoices.said_in(foreign) is not None  # it was paid by: the token was another one then


def test_a_report_says_until_when_it_is_paid_and_whether_it_is_the_first_one(settings: Settings) -> None:
    payload = invoices.write(PLAN, settings)
    more = {"is_recurring": True, "subscription_expiration_date": DATE + 9}
    first = charges.charge_of(report(payload, **more, is_first_recurring=True), settings)
    renewal = charges.charge_of(report(payload, **more), settings)
    assert first is not None and (first.is_first, first.ends_at, first.amount) == (True, DATE + 9, 25_000)
    assert renewal is not None and (renewal.is_first, renewal.ends_at) == (False, DATE + 9)
    bent = charges.charge_of(report(payload, is_recurring=True, subscription_expiration_date="x"), settings)
    assert bent is not None and bent.ends_at == DATE + PERIOD_SECONDS
    for other in (report(payload, amount=249), report("b1:250:1:CREDIT:1:x"), report("")):
        assert charges.charge_of(other, settings) is None


def test_telegrams_book_names_a_subscriptions_payment_and_its_job_books_it(settings: Settings) -> None:
    partner = {
        "type": "user",
        "transaction_type": "invoice_payment",
        "user": {"id": 7, "is_bot": False, "first_name": "Ann"},
        "invoice_payload": invoices.write(PLAN, settings),
        "subscription_period": PERIOD_SECONDS,
    }
    raw = {"id": "c", "amount": 250, "date": DATE, "source": partner}
    assert transactions.read(raw, settings).invoice_amount == 25_000
    booked = charges.charge_of(transactions.job_of(raw, is_refund=False), settings)
    assert booked is not None
    assert (booked.charge_id, booked.is_first, booked.ends_at) == ("c", None, DATE + PERIOD_SECONDS)
    assert transactions.read({**raw, "amount": 249}, settings).invoice_amount is None
