"""What a provider lists beside the ledger: each difference is named, and is none once it is booked or accepted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import provider_book, provider_payments
from dbcore.ledger.audit import audit
from dbcore.ledger.provider_book import Listed
from dbcore.ledger.provider_payments import Problem, ProviderCharge, ProviderEvent
from tests.dbcore.conftest import Sql

PAID_AT = 1_700_000_000
LISTED = Listed("pi_1", 1250, "USD", 0, 7, 2500, PAID_AT)
_numbers = itertools.count(1)


def booked(engine: GuardedEngine, payment_id: str = "pi_1", refunded: int = 0, telegram_id: int = 7) -> None:
    number = next(_numbers)
    charge = ProviderCharge(payment_id, telegram_id, 1250, "USD", 2500, refunded, None, PAID_AT)
    event = ProviderEvent("stripe", f"evt_{number}", "m", {"payment_id": payment_id})
    provider_payments.book(engine, event, charge, job_id=f"job-{number}")


def read(engine: GuardedEngine, *listed: Listed, provider: str = "stripe") -> None:
    reading = provider_book.begin(engine, provider, PAID_AT - 30 * 86_400)
    provider_book.keep(engine, reading, provider, listed, 0)
    provider_book.finish(engine, reading)


def found(engine: GuardedEngine, provider: str = "stripe") -> list[tuple[str, str, bool]]:
    return [
        (each.kind.value, each.payment_id, each.is_bookable)
        for each in provider_book.differences(engine, provider)
        if each.accepted_by is None
    ]


@pytest.fixture(autouse=True)
def _audited(engine: GuardedEngine, database_url: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit(database_url) if not finding.ok] == []


def test_what_agrees_is_no_difference_and_nothing_is_before_anything_was_read(engine: GuardedEngine) -> None:
    booked(engine)
    assert found(engine) == []
    assert provider_book.last(engine, "stripe") is None
    read(engine, LISTED)
    assert found(engine) == []
    last = provider_book.last(engine, "stripe")
    assert last is not None
    assert (last.payments, last.since) == (1, PAID_AT - 30 * 86_400)


def test_each_difference_has_its_name(engine: GuardedEngine) -> None:
    for payment_id in ("sum", "payer", "back", "failed", "gone", "same"):
        booked(engine, payment_id, refunded=500 if payment_id == "failed" else 0)
    read(
        engine,
        replace(LISTED, payment_id="sum", amount=1),
        replace(LISTED, payment_id="payer", telegram_id=8),
        replace(LISTED, payment_id="back", refunded=300),
        replace(LISTED, payment_id="failed"),
        replace(LISTED, payment_id="same"),
        replace(LISTED, payment_id="new"),
        replace(LISTED, payment_id="odd", credited=None),
    )
    assert set(found(engine)) == {
        ("amounts_differ", "sum", False),
        ("payers_differ", "payer", False),
        ("refund_theirs_alone", "back", True),
        ("refund_ours_alone", "failed", False),
        ("ours_alone", "gone", False),
        ("theirs_alone", "new", True),
        ("not_as_asked", "odd", False),
    }
    assert found(engine, "crypto_pay") == []
    booked(engine, "new")
    booked(engine, "back", refunded=300)
    assert {name for name, _, _ in found(engine)} == {
        "amounts_differ",
        "payers_differ",
        "refund_ours_alone",
        "ours_alone",
        "not_as_asked",
    }


def test_what_is_booked_after_the_reading_began_is_no_difference(engine: GuardedEngine) -> None:
    reading = provider_book.begin(engine, "stripe", PAID_AT - 30 * 86_400)
    booked(engine, "later")
    provider_book.finish(engine, reading)
    assert found(engine) == []
    read(engine)
    assert found(engine) == [("ours_alone", "later", False)]


def test_a_reading_that_is_broken_off_changes_nothing(engine: GuardedEngine) -> None:
    booked(engine)
    read(engine, LISTED)
    reading = provider_book.begin(engine, "stripe", PAID_AT - 30 * 86_400)
    assert found(engine) == []
    provider_book.keep(engine, reading, "stripe", [LISTED], 0)
    assert found(engine) == []


def test_what_was_told_and_not_booked_is_a_difference_until_somebody_accepts_it(
    engine: GuardedEngine, sql: Sql
) -> None:
    booked(engine)
    told = {"payment_id": "pi_1", "paid": 1, "refunded": 0, "paid_currency": "USD"}
    for _ in range(2):
        other = ProviderEvent("stripe", f"evt_{next(_numbers)}", "o", told)
        provider_payments.book(
            engine, other, ProviderCharge("pi_1", 7, 1, "USD", 1, 0, None, PAID_AT), job_id=other.id
        )
    odd = ProviderEvent("stripe", "evt_odd", "m", {**told, "payment_id": "pi_2"})
    provider_payments.book(engine, odd, None, job_id="j", problem=Problem.NOT_AS_ASKED)
    expected = {("contradicted", "pi_1", False), ("not_as_asked", "pi_2", False)}
    assert set(found(engine)) == expected
    read(engine, LISTED, replace(LISTED, payment_id="pi_2", credited=None))
    assert set(found(engine)) == expected

    every = provider_book.differences(engine, "stripe")
    assert provider_book.accept(engine, "stripe", every[:1], "ada") == 1
    assert provider_book.accept(engine, "stripe", every, "bob") == 1
    assert found(engine) == []
    assert {each.accepted_by for each in provider_book.differences(engine, "stripe")} == {"ada", "bob"}
    sql("UPDATE provider_events SET created_at = now() - interval '10 years'")
    provider_payments.prune(engine, 30)
    assert sql("SELECT count(*) FROM provider_events WHERE problem IS NOT NULL") == [(3,)]
