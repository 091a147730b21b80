"""Who is subscribed: the database knows, and Redis while it is unavailable; what neither knows is not guessed."""

from __future__ import annotations

import time

import pytest
import redis

from ballast.subscriptions import known
from dbcore.errors import Unavailable, UsageError
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import star_subscriptions
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_subscriptions import PERIOD_SECONDS, PlanInvoice, Renewal, SubscriptionCharge
from dbcore.ledger.users import Profile
from dbcore.redis_client import connect_redis
from devstack.ports import free_port
from tests.conftest import MakeSettings

ANN = Profile(7, "ann", "Ann")
INVOICE = PlanInvoice("premium", 250, "s1:premium:250:abcdefgh:x")


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> GuardedEngine:
    return GuardedEngine(make_settings(database_url=database_url))


@pytest.fixture
def without(make_settings: MakeSettings) -> GuardedEngine:
    """Nobody listens there."""
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    return GuardedEngine(make_settings(database_url=nowhere, db_deadline_seconds=1))


def paid(engine: GuardedEngine, charge_id: str, ago_seconds: int = 0, *, refunded: bool = False) -> None:
    began = int(time.time()) - ago_seconds
    kind = PaymentKind.REFUNDED if refunded else PaymentKind.PAID
    star_subscriptions.book(
        engine,
        SubscriptionCharge(kind, charge_id, ANN, 250, 25_000, INVOICE, None, began, began + PERIOD_SECONDS),
        follows=lambda _: (),
    )


def test_a_subscriber_is_known_in_an_outage_and_nobody_else(
    engine: GuardedEngine, without: GuardedEngine, client: redis.Redis
) -> None:
    paid(engine, "c1")
    assert known.is_subscribed(engine, client, 7, "premium") is True
    assert known.is_subscribed(engine, client, 8, "premium") is False
    assert known.is_subscribed(without, client, 7, "premium") is True
    for telegram_id, plan in ((8, "premium"), (7, "pro")):
        with pytest.raises(Unavailable):
            known.is_subscribed(without, client, telegram_id, plan)
    with pytest.raises(UsageError):
        known.is_subscribed(engine, client, 7, "No plan")


def test_what_ended_or_was_refunded_is_not_known_as_paid(
    engine: GuardedEngine, without: GuardedEngine, client: redis.Redis
) -> None:
    paid(engine, "c1", ago_seconds=PERIOD_SECONDS - 2)
    star_subscriptions.tell(
        engine,
        key="k",
        person=ANN,
        invoice=INVOICE,
        renewal=Renewal.CANCELLED,
        said_at=int(time.time()),
        follows=lambda _: (),
    )
    assert known.is_subscribed(engine, client, 7, "premium") is True
    kept = client.hget(known.KEY, "7 premium")
    assert kept is not None
    until = float(kept.split()[0])
    while time.time() <= until:
        time.sleep(0.1)
    with pytest.raises(Unavailable):  # it may have been renewed since
        known.is_subscribed(without, client, 7, "premium")

    paid(engine, "c2")
    assert known.is_subscribed(engine, client, 7, "premium") is True
    paid(engine, "c2", refunded=True)
    assert known.is_subscribed(engine, client, 7, "premium") is False
    with pytest.raises(Unavailable):
        known.is_subscribed(without, client, 7, "premium")


def test_what_is_older_does_not_take_the_place_of_what_is_newer(
    engine: GuardedEngine, client: redis.Redis
) -> None:
    paid(engine, "c1")
    before = known.look_up(engine, client, 7, "premium")
    assert before.until is not None
    paid(engine, "c1", refunded=True)
    known.look_up(engine, client, 7, "premium")
    newer = client.hget(known.KEY, "7 premium")
    script = client.register_script(known._NOTE)
    script(keys=[known.KEY], args=["7 premium", before.until, before.version, before.seen_at + 1_000])
    assert client.hget(known.KEY, "7 premium") == newer


def test_without_redis_the_database_answers(
    engine: GuardedEngine, without: GuardedEngine, make_settings: MakeSettings
) -> None:
    nowhere = connect_redis(make_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    paid(engine, "c1")
    assert known.is_subscribed(engine, nowhere, 7, "premium") is True
    assert known.is_subscribed(engine, nowhere, 7, "premium", memory_first=True) is True
    with pytest.raises(Unavailable):
        known.is_subscribed(without, nowhere, 7, "premium")


def test_memory_first_asks_the_database_only_for_who_is_not_known(
    engine: GuardedEngine, without: GuardedEngine, client: redis.Redis
) -> None:
    paid(engine, "c1")
    assert known.is_subscribed(engine, client, 7, "premium", memory_first=True) is True
    assert without.calls_sent == 0
    assert known.is_subscribed(without, client, 7, "premium", memory_first=True) is True
    assert without.calls_sent == 0
    with pytest.raises(Unavailable):
        known.is_subscribed(without, client, 8, "premium", memory_first=True)
