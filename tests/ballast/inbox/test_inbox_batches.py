"""Many jobs taken on record in one step are what they would be one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Acceptance, Answered, DialogueStep, Inbox, Offer, Receipt
from ballast.inbox.limits import OFFERS_LENGTH_MAX, OFFERS_MAX
from ballast.queueing.envelope import Envelope
from dbcore.ledger.balance_cache import BalanceSnapshot

LANE_MAX = 3
OWNER = "host:1:aa"


def offer(job_id: str, lane: str = "user:7", **options: Any) -> Offer:
    return Offer(Envelope.of(ShowBalance(telegram_id=7), job_id=job_id, lane=lane, chat_id=7), **options)


def accept_in_steps(inbox: Inbox, offers: Sequence[Offer], sizes: Sequence[int]) -> list[Receipt]:
    """In batches of these sizes, in turns; one that meets a conflict is given up, what was behind it comes again."""
    receipts: list[Receipt] = []
    turn = 0
    while len(receipts) < len(offers):
        size = sizes[turn % len(sizes)]
        turn += 1
        batch = offers[len(receipts) : len(receipts) + size]
        found = inbox.accept_many(batch)
        assert 1 <= len(found) <= len(batch)
        assert len(found) == len(batch) or found[-1].status is Acceptance.CONFLICT
        receipts += found
    return receipts


def state(client: redis.Redis) -> dict[str, Any]:
    """All that Redis holds, but times, and the pace of answers, which goes by them."""
    found: dict[str, Any] = {}
    for key in sorted(cast("list[bytes]", client.keys("*"))):
        name = key.decode()
        if name.startswith("ballast:pace"):
            continue
        match client.type(key):
            case b"list":
                found[name] = client.lrange(name, 0, -1)
            case b"set":
                found[name] = client.smembers(name)
            case b"zset":
                found[name] = sorted(cast("list[bytes]", client.zrange(name, 0, -1)))
            case b"string":
                found[name] = client.get(name)
            case b"hash":
                fields = cast("dict[bytes, bytes]", client.hgetall(name))
                found[name] = {
                    field: value
                    for field, value in fields.items()
                    if field != b"ready_at" and not field.startswith(b"answers")
                }
    return found


_dialogues = st.builds(
    DialogueStep,
    key=st.sampled_from(["ballast:dialogue:1:1", "ballast:dialogue:2:2"]),
    expected=st.sampled_from([None, None, "asked"]),
    following=st.sampled_from([None, "asked"]),
)
_offers = st.lists(
    st.builds(
        offer,
        job_id=st.sampled_from([f"j{number}" for number in range(12)]),
        lane=st.sampled_from(["user:1", "user:2", "user:3"]),
        dialogue=st.none() | _dialogues,
        failure=st.sampled_from([None, None, "unreadable"]),
        size_max=st.sampled_from([100, 100, 100, 5]),
    ),
    max_size=16,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=_offers,
    done=st.sets(st.sampled_from([f"j{number}" for number in range(12)])),
    offers=_offers,
    sizes=st.lists(st.integers(1, 16), min_size=1, max_size=4),
)
@example(  # a full lane and a full inbox, each with others around it
    before=[],
    done=set(),
    offers=[
        *(offer(f"j{number}", "user:1") for number in range(LANE_MAX + 1)),
        offer("j5", "user:2"),
        offer("j6", "user:3", size_max=2),
        offer("j7", "user:2"),
    ],
    sizes=[8],
)
@example(  # what is behind a conflict comes again, in its order
    before=[],
    done=set(),
    offers=[
        offer("j1"),
        offer("j2", dialogue=DialogueStep("ballast:dialogue:1:1", "asked", None)),
        offer("j3", dialogue=DialogueStep("ballast:dialogue:1:1", None, "asked")),
        offer("j4", dialogue=DialogueStep("ballast:dialogue:1:1", "asked", None)),
    ],
    sizes=[4],
)
def test_batches_of_any_size_leave_what_one_by_one_leaves(
    inbox: Inbox,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Offer],
    done: set[str],
    offers: list[Offer],
    sizes: list[int],
) -> None:
    monkeypatch.setattr("ballast.inbox.inbox.LANE_LENGTH_MAX", LANE_MAX)
    outcomes = []
    for way in ([1], sizes):
        client.flushdb()
        accept_in_steps(inbox, before, [1])
        for job_id in sorted(done):
            inbox.finish(job_id)
        outcomes.append((accept_in_steps(inbox, offers, way), state(client)))
    assert outcomes[0] == outcomes[1]


_answered = st.builds(
    Answered,
    job_id=st.sampled_from([f"j{number}" for number in range(8)]),
    balances=st.lists(
        st.builds(
            BalanceSnapshot,
            telegram_id=st.sampled_from([7, 8]),
            currency=st.just("CREDIT"),
            balance=st.integers(0, 9),
            version=st.integers(1, 3),
        ),
        max_size=3,
    ),
    seen_at_ms=st.sampled_from([1_700_000_000_000, 1_700_000_060_000]),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.sets(st.sampled_from([f"j{number}" for number in range(4)])),
    jobs=st.lists(_answered, min_size=1, max_size=10),
    size=st.integers(2, 10),
)
def test_jobs_finished_together_leave_what_one_by_one_leaves(
    inbox: Inbox, client: redis.Redis, held: set[str], jobs: list[Answered], size: int
) -> None:
    """Also one that is finished twice, one that is behind another in its lane, and one that is not on record."""
    outcomes = []
    for way in (1, size):
        client.flushdb()
        inbox.accept_many([offer(f"j{number}", f"user:{number % 4}") for number in range(7)])
        for job_id in sorted(held):
            inbox.claim(job_id, OWNER)
        finished = [
            finish
            for first in range(0, len(jobs), way)
            for finish in inbox.finish_many(jobs[first : first + way])
        ]
        outcomes.append((finished, state(client)))
    assert outcomes[0] == outcomes[1]


def test_a_batch_is_one_command_and_its_jobs_are_published_in_its_order(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept_many([offer("first", "user:0")])
    before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    receipts = inbox.accept_many([offer(f"j{number}", f"user:{number % 60}") for number in range(100)])
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert [receipt.status for receipt in receipts] == [Acceptance.ACCEPTED] * 100
    dispatches = [receipt.dispatch for receipt in receipts if receipt.dispatch is not None]
    # Of user 0 one was there already; of 1 to 39 the second waits for the first.
    assert [dispatch.job_id for dispatch in dispatches] == [f"j{number}" for number in range(1, 60)]
    assert [int(dispatch.sequence) for dispatch in dispatches] == list(range(2, 61))


def test_one_update_twice_in_a_batch_is_one_job(inbox: Inbox) -> None:
    receipts = inbox.accept_many([offer("a"), offer("b", "user:8"), offer("a")])
    assert [receipt.status for receipt in receipts] == [
        Acceptance.ACCEPTED,
        Acceptance.ACCEPTED,
        Acceptance.KNOWN,
    ]
    assert inbox.size() == 2


def test_a_step_takes_as_many_as_fit_in_one_and_at_least_one(inbox: Inbox) -> None:
    assert len(inbox.accept_many([offer(f"j{number}") for number in range(OFFERS_MAX + 1)])) == OFFERS_MAX

    def of_length(job_id: str, length: int) -> Offer:
        envelope = Envelope(job_id=job_id, lane=job_id, kind="users.quarantine", fields={"raw": "x" * length})
        return Offer(envelope)

    large = [of_length(f"large{number}", OFFERS_LENGTH_MAX // 3) for number in range(4)]
    assert len(inbox.accept_many(large)) == 2
    too_large = [of_length("huge", 2 * OFFERS_LENGTH_MAX), of_length("small", 1)]
    assert len(inbox.accept_many(too_large)) == 1


def test_jobs_of_a_batch_are_carried_out_in_their_order_lane_by_lane(inbox: Inbox) -> None:
    inbox.accept_many([offer(f"{lane}{number}", lane) for number in range(5) for lane in "ab"])
    for lane in "ab":
        following: str | None = f"{lane}0"
        for number in range(5):
            assert following == f"{lane}{number}"
            assert inbox.claim(following, OWNER) is not None
            dispatch = inbox.finish(following).following
            following = dispatch.job_id if dispatch else None
        assert following is None
