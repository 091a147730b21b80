"""Money moves exactly once, wherever the wire is cut.

The longer form: `CUTS=20000 SEED=7 python -m pytest tests/conformance -k random_moments`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import psycopg2
import pytest

from dbcore.breaker.local import BreakerLimits
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.failures import FailureKind
from dbcore.guard.deadline import Deadline
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_transfers, users
from dbcore.ledger.audit import audit
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import OutcomeStatus, RejectionReason, TransferOutcome
from devstack.proxy import Answer, Cut, Fault, FaultProxy, Message, On, Rule, ServerError, Side, Silence
from tests.conformance.runner import engine_through

TRANSFER = "ledger_transfer"
CUTS = int(os.environ.get("CUTS", "1000"))
SEED = int(os.environ.get("SEED", "1"))
OPENING = 1_000_000
AMOUNT = 7
CALLS_MAX = 20
NEVER_OPENS = BreakerLimits(failure_rate=2.0, slow_rate=2.0)
DONE = {OutcomeStatus.APPLIED, OutcomeStatus.REPLAYED}


@pytest.fixture
def people(proxy: FaultProxy, database: str) -> list[Profile]:
    """Some who have money."""
    profiles = [Profile(1_000 + number, None, f"Person {number}") for number in range(4)]
    with engine(proxy, database) as whole:
        for profile in profiles:
            users.get_or_create(whole, profile=profile)
            ledger.adjust(
                whole,
                key=f"opening-{profile.telegram_id}",
                target=UserRef(telegram_id=profile.telegram_id),
                amount=OPENING,
                memo="",
                actor="test",
            )
    proxy.forget()
    return profiles


@contextmanager
def engine(proxy: FaultProxy, database: str) -> Iterator[GuardedEngine]:
    with engine_through(proxy, database, limits=NEVER_OPENS) as made:
        yield made


def send(engine: GuardedEngine, key: str, sender: Profile, recipient: Profile) -> TransferOutcome:
    return ledger.transfer(
        engine,
        key=key,
        sender_telegram_id=sender.telegram_id,
        recipient_telegram_id=recipient.telegram_id,
        amount=AMOUNT,
        memo="",
    )


@dataclass
class Sent:
    """How a transfer went: what its caller saw on the way, and the answer."""

    raised: Counter[str]
    outcome: TransferOutcome


def send_until_answered(engine: GuardedEngine, key: str, sender: Profile, recipient: Profile) -> Sent:
    """As a job does: the same key again, until there is an answer."""
    raised: Counter[str] = Counter()
    for _ in range(CALLS_MAX):
        try:
            return Sent(raised, send(engine, key, sender, recipient))
        except DatabaseAway as away:
            raised[type(away).__name__] += 1
    pytest.fail(f"no answer in {CALLS_MAX} calls: {raised}")


def rows(database_url: str, query: str) -> list[Any]:
    connection = psycopg2.connect(database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def assert_each_applied_once(database_url: str, keys: list[str], people: list[Profile]) -> None:
    """One applied transfer a key, two entries each, not a coin made or lost; and the audit agrees."""
    transfers = rows(
        database_url,
        "SELECT t.idempotency_key, t.status, count(e.id) FROM transfers t JOIN entries e ON e.transfer_id = t.id"
        " WHERE t.idempotency_key NOT LIKE 'opening-%' GROUP BY t.id",
    )
    assert sorted(transfers) == sorted((key, "applied", 2) for key in keys)
    (total,) = rows(database_url, "SELECT sum(balance)::bigint FROM accounts WHERE user_id IS NOT NULL")[0]
    assert total == OPENING * len(people)
    assert [finding.name for finding in audit(database_url) if not finding.ok] == []


def exchange(proxy: FaultProxy, database: str, people: list[Profile]) -> list[Message]:
    """Every message of a transfer by a new engine, on a connection that it first has to make."""
    with engine(proxy, database) as recorded:
        send(recorded, "recorded", people[0], people[1])
        seen = proxy.messages()
    newest = max(message.connection for message in seen)
    return [message for message in seen if message.connection == newest]


@pytest.mark.parametrize("passing", [0, 0.5, 1.0], ids=["before", "inside", "after"])
def test_a_cut_at_any_message_of_the_exchange_moves_the_money_once(
    passing: float, proxy: FaultProxy, database: str, database_url: str, people: list[Profile]
) -> None:
    messages = exchange(proxy, database, people)
    assert len(messages) > 30
    asking = next(number for number, message in enumerate(messages) if TRANSFER in message.statement)
    if passing == 1.0:
        asking -= 1  # behind the answer before it: the client asks, and finds out then
        messages.pop()  # behind the last message the client knows all
    keys = ["recorded"]
    for number, message in enumerate(messages):
        keys.append(f"cut-{number}")
        placed = proxy.add(Rule(On(message.side, position=message.position), Cut(passing)))
        with engine(proxy, database) as cut:
            sent = send_until_answered(cut, keys[-1], people[0], people[1])
            assert sent.outcome.status in DONE
            assert sent.raised == {}  # the engine's own retry resolved it
            assert cut.snapshot().unknown_outcomes_total == (number >= asking), message
        assert placed.struck == 1, message
        proxy.clear()
    assert_each_applied_once(database_url, keys, people)


def test_a_wire_that_breaks_longer_than_the_engine_tries_is_resolved_by_the_same_key(
    proxy: FaultProxy, database: str, database_url: str, people: list[Profile]
) -> None:
    """Done, and nobody hears of it, three times in a row: OutcomeUnknown; then the key's replay tells."""
    proxy.add(Rule(On(Side.SERVER, kind="C", statement=TRANSFER), Cut(), times=3))
    with engine(proxy, database) as cut:
        with pytest.raises(OutcomeUnknown):
            send(cut, "k", people[0], people[1])
        assert cut.snapshot().unknown_outcomes_total == 3
        again = send(cut, "k", people[0], people[1])
        assert again.status is OutcomeStatus.REPLAYED
        assert (again.sender_balance, again.recipient_balance) == (OPENING - AMOUNT, OPENING + AMOUNT)
    assert_each_applied_once(database_url, ["k"], people)


def test_a_deadline_that_cuts_the_answer_off_is_resolved_by_the_same_key(
    proxy: FaultProxy, database: str, database_url: str, people: list[Profile]
) -> None:
    """Done, and the network swallows the answer: nobody hangs up, so only our own clock ends it."""
    with engine(proxy, database) as cut:
        users.get_or_create(cut, profile=people[0])
        proxy.add(Rule(On(Side.SERVER, kind="T", statement=TRANSFER), Silence()))
        with pytest.raises(OutcomeUnknown) as unknown, Deadline(1.0):
            send(cut, "k", people[0], people[1])
        assert unknown.value.kind is FailureKind.SLOW
        assert cut.snapshot().unknown_outcomes_total == 1
        assert send(cut, "k", people[0], people[1]).status is OutcomeStatus.REPLAYED
    assert_each_applied_once(database_url, ["k"], people)


LOST_ANSWERS = pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Rule(On(Side.SERVER, kind="C"), Cut()), id="answer lost"),
        pytest.param(Rule(On(kind="Q"), Cut(1.0)), id="cut while at work"),
        pytest.param(Rule(On(kind="Q"), Cut(0.9)), id="never arrived"),
    ],
)


@LOST_ANSWERS
def test_every_operation_on_money_survives_a_lost_answer(
    fault: Rule, proxy: FaultProxy, database: str, database_url: str, people: list[Profile]
) -> None:
    ann, bob = people[0], people[1]
    to_ann, to_bob = UserRef(telegram_id=ann.telegram_id), UserRef(telegram_id=bob.telegram_id)
    with engine(proxy, database) as cut:
        users.get_or_create(cut, profile=ann)

        proxy.add(fault)
        adjusted = ledger.adjust(cut, key="a", target=to_ann, amount=5, memo="", actor="test")
        assert (adjusted.status in DONE, adjusted.balance_after) == (True, OPENING + 5)

        proxy.add(fault)
        asked = pending_transfers.create(cut, key="p", sender=ann, recipient=to_bob, amount=5, memo="")
        assert asked.status in DONE

        proxy.add(fault)
        decided = pending_transfers.decide(cut, key="d", token=asked.token, presser=ann, confirm=True)
        assert (decided.status in DONE, decided.sender_balance) == (True, OPENING)

        proxy.add(fault)
        refused = send(cut, "r", Profile(9, None, "Nobody"), bob)
        assert refused.reason is RejectionReason.UNKNOWN_USER
        assert cut.snapshot().unknown_outcomes_total == 4
    balances = rows(database_url, "SELECT balance FROM accounts WHERE user_id IS NOT NULL ORDER BY id")
    assert balances == [(OPENING,), (OPENING + 5,), (OPENING,), (OPENING,)]
    assert [finding.name for finding in audit(database_url) if not finding.ok] == []


_LAST_WORDS = ServerError("terminating connection due to administrator command", "57P01", "FATAL")


def a_fault_that_leaves_the_outcome_open(dice: random.Random) -> tuple[On, Fault]:
    """While the transfer is under way, or when it is done and its answer is on the way."""
    share = dice.random()
    reset = dice.random() < 0.3
    return dice.choice(
        (
            (On(kind="Q", statement=TRANSFER), Cut(share, reset=reset)),
            # The whole of it: the server works on it while the key comes again.
            (On(kind="Q", statement=TRANSFER), Cut(1.0, reset=reset)),
            (On(kind="Q", statement=TRANSFER), Answer(_LAST_WORDS, server_does_it=dice.random() < 0.5)),
            # Less than the whole of the message: with all of it the client would know.
            (On(Side.SERVER, kind=dice.choice("TDCZ"), statement=TRANSFER), Cut(share * 0.99, reset=reset)),
        )
    )


def a_fault_before_anything_is_sent(dice: random.Random) -> tuple[On, Fault]:
    kind = dice.choice(("SSLRequest", "Startup"))
    return On(kind=kind), Cut(dice.random(), reset=dice.random() < 0.3)


def test_cuts_at_random_moments_move_the_money_once(
    proxy: FaultProxy, database: str, database_url: str, people: list[Profile]
) -> None:
    """Several faults a transfer, so that retries are cut too; the same seed is the same run."""
    dice = random.Random(SEED)
    keys: list[str] = []
    cuts = open_outcomes = 0
    raised: Counter[str] = Counter()
    pairs = cycle([(a, b) for a in people for b in people if a is not b])
    with engine(proxy, database) as cut:
        while cuts < CUTS:
            on, fault = a_fault_that_leaves_the_outcome_open(dice)
            during = proxy.add(Rule(on, fault, times=dice.randint(1, 5)))
            before = proxy.add(Rule(*a_fault_before_anything_is_sent(dice), times=dice.randint(0, 2)))
            keys.append(f"random-{len(keys)}")
            sent = send_until_answered(cut, keys[-1], *next(pairs))
            assert sent.outcome.status in DONE, (SEED, len(keys))
            raised += sent.raised
            proxy.clear()
            cuts += during.struck + before.struck
            open_outcomes += during.struck
        snapshot = cut.snapshot()
    assert snapshot.unknown_outcomes_total == open_outcomes
    assert raised["OutcomeUnknown"] > 0
    assert_each_applied_once(database_url, keys, people)
    print(f"{cuts} cuts in {len(keys)} transfers, {open_outcomes} open outcomes, raised {dict(raised)}")
