"""Telegram's book of Stars beside the ledger: read once, page by page, and each difference is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import payments, star_book, star_payments
from dbcore.ledger.audit import audit
from dbcore.ledger.payments import PaymentEvent, PaymentKind
from dbcore.ledger.star_book import Difference, Transaction
from dbcore.ledger.star_payments import StarCharge
from dbcore.ledger.users import Profile
from tests.dbcore.conftest import MakeEngine

PAYER = Profile(7_000_001, "payer", "Payer")
CHARGE = StarCharge(
    PaymentKind.PAID, "charge-1", PAYER, stars=50, amount=5_000, payload="p", said_at=1_700_000_000
)
THEIRS = Transaction("charge-1", False, 50, 0, "payment", 7_000_001, 5_000, {"id": "charge-1"}, 1_700_000_000)
CHECK = "Telegram's book of Stars is the ledger's"


def read(engine: GuardedEngine, *book: Transaction, balance: tuple[int, int] | None = None) -> int:
    """A whole reading; how many transactions it would hand in."""
    reading = star_book.begin(engine)
    for at in range(0, len(book), 2):
        kept = star_book.keep(engine, reading, book[at : at + 2])
        assert kept is not None
        reading = kept
    nanos = sum((-1 if each.is_outgoing else 1) * (each.stars * 10**9 + each.nanostars) for each in book)
    stars, nanostars = balance or divmod(nanos, 10**9)

    def finish(connection: Any) -> int:
        assert star_book.finish(connection, engine.schema, reading, stars, nanostars)
        return len(star_book.bookable(connection, engine.schema))

    return engine.call(finish, name="test.finish")


def named(engine: GuardedEngine) -> list[tuple[str, str]]:
    return [(each.kind.value, each.charge_id) for each in star_book.differences(engine)]


def test_the_same_book_has_no_difference_and_each_other_one_is_named(
    engine: GuardedEngine, database_url: str
) -> None:
    for number in (1, 2, 3, 4, 5):
        star_payments.book(engine, replace(CHARGE, charge_id=f"charge-{number}"))
    star_payments.book(engine, replace(CHARGE, charge_id="charge-4", kind=PaymentKind.REFUNDED))
    book = [replace(THEIRS, id=f"charge-{number}") for number in (1, 2, 3, 4, 5)]
    refund = replace(THEIRS, id="charge-4", is_outgoing=True, purpose="refund")
    withdrawal = Transaction("w", True, 20, 500_000_000, "withdrawal", None, None, {}, 1_700_000_000)
    assert read(engine, *book, refund, withdrawal) == 0
    assert named(engine) == []
    assert [(each.purpose, each.stars, each.nanostars) for each in star_book.movements(engine)] == [
        ("payment", 250, 0),
        ("refund", 50, 0),
        ("withdrawal", 20, 500_000_000),
    ]

    changed = [
        replace(book[0], stars=49),
        replace(book[1], telegram_id=7_000_009),
        replace(book[3], nanostars=1),
        book[4],
        replace(refund, id="charge-5"),
        replace(THEIRS, id="charge-6", invoice_amount=None),
        replace(THEIRS, id="charge-7"),
    ]
    assert read(engine, *changed, balance=(200, 0)) == 2
    assert sorted(named(engine)) == [
        ("amounts_differ", "charge-1"),
        ("amounts_differ", "charge-4"),
        ("balance_differs", "-49.000000001"),
        ("ours_alone", "charge-3"),
        ("payers_differ", "charge-2"),
        ("refund_ours_alone", "charge-4"),
        ("refund_theirs_alone", "charge-5"),
        ("theirs_alone", "charge-6"),
        ("theirs_alone", "charge-7"),
    ]
    (finding,) = [finding for finding in audit(database_url) if finding.name == CHECK]
    assert finding.wrong == 9
    # Booked since, known by its report, and accepted.
    star_payments.book(engine, replace(CHARGE, charge_id="charge-7"))
    star_payments.book(engine, replace(CHARGE, charge_id="charge-5", kind=PaymentKind.REFUNDED))
    event = PaymentEvent(PaymentKind.PAID, "charge-6", 7_000_001, 50, "XTR", "p", {}, 1_700_000_000)
    payments.record(engine, event, job_id="job")
    left = star_book.differences(engine)
    assert len(left) == 6
    assert star_book.accept(engine, left, "operator") == 6
    assert star_book.accept(engine, left, "operator") == 0
    assert {each.accepted_by for each in star_book.differences(engine)} == {"operator"}
    assert all(finding.ok for finding in audit(database_url))


def test_what_is_booked_while_the_book_is_read_is_no_difference(engine: GuardedEngine) -> None:
    reading = star_book.begin(engine)
    star_payments.book(engine, CHARGE)
    engine.call(lambda c: star_book.finish(c, engine.schema, reading, 0, 0), name="test.finish")
    assert named(engine) == []
    read(engine)
    assert named(engine) == [("ours_alone", "charge-1")]


def test_a_page_is_kept_once_and_a_reading_that_was_broken_off_goes_on_at_its_cursor(
    make_engine: MakeEngine,
) -> None:
    engine, other = make_engine(), make_engine()
    reading = star_book.begin(engine)
    kept = star_book.keep(engine, reading, [THEIRS, replace(THEIRS, id="charge-2")])
    assert star_book.keep(other, reading, [THEIRS]) is None  # a second reader has the same page
    assert star_book.begin(other) == kept
    assert kept is not None and kept.offset == 2
    assert star_book.last(engine) is None and named(engine) == []
    engine.call(lambda c: star_book.finish(c, engine.schema, kept, 100, 0), name="test.finish")
    assert star_book.keep(other, kept, [THEIRS]) is None
    assert engine.call(lambda c: star_book.finish(c, engine.schema, kept, 1, 0), name="x") is False
    last = star_book.last(engine)
    assert last is not None and (last.stars, last.transactions) == (100, 2)
    assert star_book.begin(engine).id != kept.id


@pytest.mark.parametrize("text", ["\x00", "\ud800", "'); DROP TABLE entries; --", "=1+1"])
def test_whatever_telegram_writes_is_kept_as_text(engine: GuardedEngine, text: str) -> None:
    read(engine, replace(THEIRS, id=f"c{text}", details={"invoice_payload": text}))
    (found,) = star_book.differences(engine)
    assert isinstance(found, Difference) and found.is_bookable
