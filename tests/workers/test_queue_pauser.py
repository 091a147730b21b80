"""While the database's queues are shut, what is due for them is held back, and comes first when they open. That the
queue pauser itself pauses and resumes them is shown with whole workers: tests/acceptance/test_outage.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ballast.builtin.balances import AdjustBalance, ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from ballast.builtin.users import GetOrCreateUser
from ballast.inbox import Inbox
from ballast.messages import Message
from ballast.queueing import queue_pauses
from ballast.queueing.envelope import Envelope
from ballast.queueing.kinds import WRITING_KINDS
from ballast.queueing.queues import DATABASE_QUEUES
from dbcore.breaker import FleetStore, outages, read_breaker
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.breaker.state import FleetState
from dbcore.breaker.store import read_state
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.redis_client import redis_time
from dbcore.settings import Settings
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.conftest import MakeSettings
from tests.dbcore.conftest import eventually
from tests.harness.queueing import Queueing, queueing_at
from workers.queue_pauser import Watch
from workers.rescuer import Rescuer

OWNER = "host:1:a"


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


def accept_job(inbox: Inbox, job_id: str) -> None:
    inbox.accept(Envelope.of(GetOrCreateUser(telegram_id=1), job_id=job_id, lane=job_id))


def accept_reply(inbox: Inbox, job_id: str) -> None:
    reply = DeliverReply(messages=(Message(chat_id=1, text="hello"),))
    inbox.accept(Envelope.of(reply, job_id=job_id, lane=job_id))


def give_back(inbox: Inbox, job_id: str) -> None:
    """As a task does that met an open breaker."""
    assert inbox.claim(job_id, OWNER) is not None
    assert inbox.release(job_id, OWNER, delay_seconds=0, count_delivery=False, tell=True)


def become(client: redis.Redis, state: BreakerState, reason: BreakerReason | None = None) -> None:
    """As the fleet's processes make it."""

    def step(before: FleetState, now: float) -> FleetState:
        return FleetState(version=before.version + 1, epoch=1, state=state, reason=reason, since=now)

    FleetStore(client).change(step, "test")


def tell(client: redis.Redis, state: BreakerState) -> None:
    FleetStore(client).change(lambda fleet, now: fleet.overridden(state, now=now), "test")


def untold(inbox: Inbox) -> list[str]:
    """Those who wait since the last time, and were not told so by the frontend."""
    with inbox.take_waiting(10) as waiting:
        return [each.envelope.job_id for each in waiting if not each.envelope.told_to_wait]


def ids(inbox: Inbox, *, shut: bool, limit: int = 100) -> list[str]:
    return [dispatch.job_id for dispatch in inbox.rescue(limit, shut=DATABASE_QUEUES if shut else ())[1]]


def test_due_jobs_are_held_back_while_shut_and_looked_at_once(inbox: Inbox, client: redis.Redis) -> None:
    for job_id in ("a", "b", "c"):
        accept_job(inbox, job_id)
        give_back(inbox, job_id)
    accept_reply(inbox, "reply")
    inbox.claim("reply", OWNER)
    inbox.release("reply", OWNER, delay_seconds=0)
    inbox.beat(OWNER, {})
    assert ids(inbox, shut=True) == ["reply"]
    assert client.zcard("ballast:inbox:held_back") == 3
    assert ids(inbox, shut=True) == []
    assert ids(inbox, shut=False) == ["a", "b", "c"]
    assert client.zcard("ballast:inbox:held_back") == 0


def test_held_back_jobs_come_before_what_fell_due_later(inbox: Inbox) -> None:
    for job_id in ("old", "new"):
        accept_job(inbox, job_id)
        time.sleep(0.002)  # ages are told apart by milliseconds
    give_back(inbox, "old")
    assert ids(inbox, shut=True) == []
    give_back(inbox, "new")
    assert ids(inbox, shut=False, limit=1) == ["old"]


def test_a_held_back_job_that_was_done_meanwhile_is_forgotten(inbox: Inbox, client: redis.Redis) -> None:
    accept_job(inbox, "a")
    give_back(inbox, "a")
    assert ids(inbox, shut=True) == []
    assert inbox.claim("a", OWNER) is not None  # its message was still in the queue
    inbox.beat(OWNER, {})
    assert ids(inbox, shut=False) == []
    inbox.finish("a")
    assert ids(inbox, shut=False) == []
    assert client.zcard("ballast:inbox:held_back") == 0


def test_who_is_far_back_in_a_queue_that_shuts_is_told_at_once(inbox: Inbox, client: redis.Redis) -> None:
    client.hset("ballast:inbox:sequence", "users", 4_000)
    accept_job(inbox, "far")
    client.lpush("users", "message")
    client.zadd("ballast:inbox:due", {"far": 0})
    assert ids(inbox, shut=False) == []
    assert ids(inbox, shut=True) == []
    assert untold(inbox) == ["far"]


def test_a_job_that_is_to_be_done_later_keeps_its_time_while_its_queue_is_shut(
    inbox: Inbox, client: redis.Redis
) -> None:
    accept_job(inbox, "a")
    assert inbox.claim("a", OWNER) is not None
    assert inbox.release("a", OWNER, delay_seconds=9)
    assert ids(inbox, shut=True) == []
    assert client.zcard("ballast:inbox:held_back") == 0
    assert ids(inbox, shut=False) == []


def test_jobs_of_a_process_that_died_while_shut_are_not_lost(inbox: Inbox, client: redis.Redis) -> None:
    accept_job(inbox, "a")
    inbox.beat(OWNER, {})
    inbox.beat("host:9:living", {})
    assert inbox.claim("a", OWNER) is not None
    client.zadd("ballast:inbox:owners", {OWNER: 0})  # it has not been heard of for long
    assert ids(inbox, shut=True) == []
    assert ids(inbox, shut=False) == ["a"]


def test_the_rescuer_goes_by_the_fleet(queueing: Queueing, settings: Settings) -> None:
    accept_job(queueing.inbox, "a")
    give_back(queueing.inbox, "a")
    rescuer = Rescuer(queueing.client, queueing.inbox, queueing.publisher, settings)
    tell(queueing.client, BreakerState.FORCED_OPEN)
    assert rescuer.look() == 0
    tell(queueing.client, BreakerState.CLOSED)
    assert rescuer.look() == 1


def test_who_asked_before_anybody_knew_is_told_once_that_they_wait(
    queueing: Queueing, settings: Settings
) -> None:
    """`a` was in a worker's hands, `b` in the queue, when the database went."""
    inbox = queueing.inbox
    for number, job_id in enumerate(("a", "b"), start=1):
        job = GetOrCreateUser(telegram_id=number)
        inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id, chat_id=number))
    give_back(inbox, "a")
    queueing.client.zadd("ballast:inbox:due", {"b": 0})  # its time in the queue is over
    rescuer = Rescuer(queueing.client, inbox, queueing.publisher, settings)
    tell(queueing.client, BreakerState.FORCED_OPEN)
    for _ in range(3):
        rescuer.look()
    told = [inbox.claim(f"{job_id}-queued", OWNER) for job_id in ("a", "b")]
    assert [claim and claim.envelope.chat_id for claim in told] == [1, 2]
    assert all(
        claim and "Your /start is saved" in claim.envelope.fields["messages"][0]["text"] for claim in told
    )
    assert inbox.size() == 4
    again = inbox.claim("a", OWNER)
    assert again is not None
    assert again.envelope.told_to_wait  # so that the answer takes the notice's place


def test_an_outage_says_how_many_waited_and_when_the_last_of_them_had_an_answer(
    queueing: Queueing, settings: Settings
) -> None:
    """`late` was told before that its answer takes long; for `nobody` no person waits."""
    inbox, client = queueing.inbox, queueing.client
    for number, job_id in enumerate(("held", "late"), start=1):
        job = GetOrCreateUser(telegram_id=number)
        inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id, chat_id=number))
    accept_job(inbox, "nobody")
    looked_at, late = inbox.take_late(["late"], most=1)
    assert (looked_at, [each.job_id for each in late]) == (1, ["late"])
    for job_id in ("held", "late", "nobody"):
        give_back(inbox, job_id)
    tell(client, BreakerState.FORCED_OPEN)
    Rescuer(client, inbox, queueing.publisher, settings).look()
    assert inbox.claim("late-queued", OWNER) is None, "told once"
    tell(client, BreakerState.CLOSED)
    with inbox.take_waiting(10) as found:
        assert not found
    finished_at = 0.0
    for job_id in ("nobody", "held", "held-queued", "late"):
        assert inbox.claim(job_id, OWNER) is not None
        (over,) = outages.read(client, *read_state(client))
        assert (over.jobs_waited, over.drained_at) == (2, None)
        finished_at = redis_time(client)
        inbox.finish(job_id)
    (over,) = outages.read(client, *read_state(client))
    assert over.drained_at is not None
    assert finished_at - 0.01 <= over.drained_at <= redis_time(client)


def test_who_was_not_told_because_the_rescuer_died_is_told_by_the_next(inbox: Inbox) -> None:
    accept_job(inbox, "a")
    give_back(inbox, "a")
    with pytest.raises(RuntimeError), inbox.take_waiting(10):
        raise RuntimeError("it dies here")
    assert untold(inbox) == ["a"]
    assert untold(inbox) == []


def test_a_job_whose_notice_cannot_be_written_keeps_nobody_else_from_being_told(
    queueing: Queueing, settings: Settings
) -> None:
    inbox = queueing.inbox
    for number, (job_id, amount) in enumerate((("bad", "much"), ("good", 100)), start=1):
        transfer = Envelope.of(
            CreateTransfer(telegram_id=number, recipient="@carol", amount=100),
            job_id=job_id,
            lane=job_id,
            chat_id=number,
        )
        inbox.accept(transfer.model_copy(update={"fields": {**transfer.fields, "amount": amount}}))
        give_back(inbox, job_id)
    rescuer = Rescuer(queueing.client, inbox, queueing.publisher, settings)
    tell(queueing.client, BreakerState.FORCED_OPEN)
    for _ in range(2):
        rescuer.look()
    assert inbox.claim("good-queued", OWNER) is not None
    assert untold(inbox) == []


def test_a_balance_that_was_asked_for_before_anybody_knew_is_answered_with_the_last_known_one(
    queueing: Queueing, settings: Settings
) -> None:
    """`hangs` is in a worker's hands, `behind` is behind a transfer that waits; of `unknown` no balance is known."""
    inbox, client = queueing.inbox, queueing.client
    client.delete("ballast:breaker")
    for number, job_id in enumerate(("hangs", "behind", "unknown"), start=1):
        if job_id == "behind":
            transfer = CreateTransfer(telegram_id=2, recipient="@carol", amount=200)
            inbox.accept(Envelope.of(transfer, job_id="transfer", lane="user:2", chat_id=2))
        job = ShowBalance(telegram_id=number)
        inbox.accept(Envelope.of(job, job_id=job_id, lane=f"user:{number}", chat_id=number))
    inbox.balances.note(
        BalanceSnapshot(1, "CREDIT", 150, 3), BalanceSnapshot(2, "CREDIT", 250, 4), ago_seconds=90 * 86_400
    )
    assert inbox.claim("hangs", OWNER) is not None
    client.zincrby("ballast:inbox:due", -2_000, "hangs")
    inbox.beat(OWNER, {})
    rescuer = Rescuer(client, inbox, queueing.publisher, settings)
    become(client, BreakerState.OPEN, BreakerReason.OUTAGE)
    for _ in range(3):
        rescuer.look()
    for job_id, balance in (("hangs", "1.50"), ("behind", "2.50")):
        answered = inbox.claim(job_id, "host:2:b")
        assert answered is not None
        assert answered.reply is not None
        assert f"your balance was <b>{balance} CREDIT</b>" in answered.reply
        assert "technical problem" in answered.reply
        inbox.finish(job_id)
    # Who took it and waits for the database in vain has nothing more to say of it.
    assert not inbox.release("hangs", OWNER, delay_seconds=0, count_delivery=False)
    told = [inbox.claim(f"{job_id}-queued", OWNER) for job_id in ("transfer", "unknown")]
    texts = [claim.envelope.fields["messages"][0]["text"] for claim in told if claim]
    assert "Your transfer of 2.00 CREDIT to @carol is saved" in texts[0]
    assert "Your question about your balance is saved" in texts[1]
    assert inbox.claim("behind-queued", OWNER) is None


def test_whose_call_hangs_is_told_once_that_they_wait(inbox: Inbox, client: redis.Redis) -> None:
    """A frozen server keeps them until their deadline. `b` was taken just now, of `c` only the answer is left."""
    for number, job_id in enumerate(("a", "b", "c"), start=1):
        job = ShowBalance(telegram_id=number)
        inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id, chat_id=number))
    inbox.claim("c", OWNER)
    inbox.release("c", OWNER, delay_seconds=0, reply="[]")
    for job_id in ("a", "b", "c"):
        inbox.claim(job_id, OWNER)
    for job_id in ("a", "c"):
        client.zincrby("ballast:inbox:due", -2_000, job_id)
    inbox.beat(OWNER, {})
    assert ids(inbox, shut=False) == []
    assert untold(inbox) == []
    assert ids(inbox, shut=True) == []
    assert untold(inbox) == ["a"]
    assert ids(inbox, shut=True) == []
    assert untold(inbox) == []
    inbox.finish("a")  # it was answered after all: the notice finds nobody who waits
    assert not inbox.awaits_notice("a")


def test_who_asks_behind_a_job_that_is_held_back_is_told_too(inbox: Inbox) -> None:
    """The frontend that took `b` had not heard yet that the database is unavailable; the one that took `c` had."""

    def accept(job_id: str, *, told: bool = False) -> None:
        envelope = Envelope.of(GetOrCreateUser(telegram_id=1), job_id=job_id, lane="1", chat_id=1)
        inbox.accept(envelope.model_copy(update={"told_to_wait": told}))

    accept("a")
    give_back(inbox, "a")
    assert ids(inbox, shut=True) == []
    assert untold(inbox) == ["a"]
    accept("b")
    accept("c", told=True)
    assert untold(inbox) == ["b"]
    assert ids(inbox, shut=False) == ["a"]
    accept("d")
    assert untold(inbox) == []  # the database is back, and soon answers


@pytest.mark.parametrize(
    ("state", "reason", "shut"),
    [
        (BreakerState.CLOSED, None, False),
        (BreakerState.DISABLED, None, False),
        (BreakerState.FORCED_OPEN, None, True),
        (BreakerState.OPEN, BreakerReason.OUTAGE, True),
        (BreakerState.HALF_OPEN, BreakerReason.QUOTA, True),
        (BreakerState.OPEN, BreakerReason.STORAGE, False),  # a full disk can still be read
    ],
)
def test_the_valve_is_shut_when_nothing_can_succeed(
    client: redis.Redis, state: BreakerState, reason: BreakerReason | None, shut: bool
) -> None:
    become(client, state, reason)
    watch = Watch(client)
    watch.look()
    assert bool(watch.shut) is shut
    assert read_breaker(client).state is state


def test_without_redis_the_valve_stays_as_it_was(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", free_port())
    server.start()
    with redis.Redis.from_url(server.url, socket_timeout=1, retry=None) as client:
        tell(client, BreakerState.FORCED_OPEN)
        watch = Watch(client)
        watch.look()
        server.stop()
        watch.look()
        assert watch.shut


def test_of_a_full_database_the_writes_are_held_back_and_the_reads_flow(
    queueing: Queueing, settings: Settings
) -> None:
    """Published again they would only be refused again, four times a second, each lane's first."""
    inbox = queueing.inbox
    inbox.accept(Envelope.of(ShowBalance(telegram_id=1), job_id="read", lane="reads"))
    adjust = AdjustBalance(telegram_id=2, amount=1)
    inbox.accept(Envelope.of(adjust, job_id="write", lane="writes"))
    for job_id in ("read", "write"):
        give_back(inbox, job_id)
    rescuer = Rescuer(queueing.client, inbox, queueing.publisher, settings)
    become(queueing.client, BreakerState.OPEN, BreakerReason.STORAGE)
    assert [rescuer.look(), rescuer.look()] == [1, 0]
    assert inbox.claim("read", OWNER) is not None
    assert inbox.held_back() == 1
    tell(queueing.client, BreakerState.CLOSED)
    assert rescuer.look() == 1


def test_reads_that_an_outage_held_back_go_on_where_the_database_comes_back_full(inbox: Inbox) -> None:
    """The rescuer may not have looked in the moment between, when nothing was shut."""
    inbox.accept(Envelope.of(ShowBalance(telegram_id=1), job_id="read", lane="reads"))
    inbox.accept(Envelope.of(AdjustBalance(telegram_id=2, amount=1), job_id="write", lane="writes"))
    for job_id in ("read", "write"):
        give_back(inbox, job_id)
    assert ids(inbox, shut=True) == []
    assert [dispatch.job_id for dispatch in inbox.rescue(100, shut=WRITING_KINDS)[1]] == ["read"]
    assert inbox.held_back() == 1


def test_an_answer_that_is_left_of_a_write_is_not_held_back(inbox: Inbox) -> None:
    inbox.accept(Envelope.of(AdjustBalance(telegram_id=2, amount=1), job_id="write", lane="writes"))
    inbox.claim("write", OWNER)
    inbox.release("write", OWNER, delay_seconds=0, reply="[]")
    assert [dispatch.queue for dispatch in inbox.rescue(100, shut=WRITING_KINDS)[1]] == ["replies"]


def test_a_state_that_a_newer_release_wrote_leaves_the_valve_as_it_was_and_the_watch_at_work(
    client: redis.Redis,
) -> None:
    tell(client, BreakerState.FORCED_OPEN)
    watch = Watch(client)
    watch.start()
    try:
        assert watch.shut
        kept = client.get("ballast:breaker")
        assert isinstance(kept, bytes)
        client.set("ballast:breaker", kept.replace(b"forced_open", b"half_shut"))
        watch.look()
        assert watch.shut
        client.set("ballast:breaker", kept.replace(b"forced_open", b"closed"))
        eventually(lambda: not watch.shut)
    finally:
        watch.stop()


def test_a_state_that_a_newer_release_wrote_stops_no_rescue(queueing: Queueing, settings: Settings) -> None:
    accept_job(queueing.inbox, "a")
    give_back(queueing.inbox, "a")
    queueing.client.set("ballast:breaker", b'{"state": "half_shut", "version": 9}')
    assert Rescuer(queueing.client, queueing.inbox, queueing.publisher, settings).look() == 1


def test_of_a_paused_queue_alone_jobs_are_held_back_until_it_is_resumed(
    queueing: Queueing, settings: Settings
) -> None:
    inbox, client = queueing.inbox, queueing.client
    for number, job in enumerate((GetOrCreateUser(telegram_id=1), ShowBalance(telegram_id=2)), start=1):
        inbox.accept(Envelope.of(job, job_id=f"j{number}", lane=f"j{number}", chat_id=number))
        give_back(inbox, f"j{number}")
    queue_pauses.pause(client, "users", "Nadia")
    queue_pauses.pause(client, "users", "somebody later")
    rescuer, watch = Rescuer(client, inbox, queueing.publisher, settings), Watch(client)
    watch.look()
    assert watch.shut == {"users"}
    assert rescuer.look() == 1, "the other queue goes on"
    assert client.zrange("ballast:inbox:held_back", 0, -1) == [b"j1"]
    notice = inbox.claim("j1-queued", OWNER)
    assert notice is not None
    assert "The bot is paused for maintenance." in notice.envelope.fields["messages"][0]["text"]
    assert queue_pauses.read(client)["users"].by == "Nadia"
    # A breaker that opens and closes meanwhile does not resume it.
    tell(client, BreakerState.FORCED_OPEN)
    watch.look()
    rescuer.look()
    assert watch.shut == set(DATABASE_QUEUES)
    tell(client, BreakerState.CLOSED)
    Rescuer(client, inbox, queueing.publisher, settings).look()
    rescuer.look()
    watch.look()
    assert watch.shut == {"users"}
    assert client.zrange("ballast:inbox:held_back", 0, -1) == [b"j1"]
    queue_pauses.resume(client, "users")
    assert rescuer.look() == 1
    watch.look()
    assert watch.shut == frozenset()


@pytest.mark.parametrize("queue", ["replies", "health", "nothing"])
def test_a_queue_that_answers_people_is_not_paused(client: redis.Redis, queue: str) -> None:
    with pytest.raises(ValueError, match="expected one of users"):
        queue_pauses.pause(client, queue, "Nadia")
    assert queue_pauses.read(client) == {}
