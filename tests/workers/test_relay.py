"""The relay takes every job from the outbox to the inbox, none twice and each user's in order, whatever dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
from celery import Celery

from ballast.apps.installed import INSTALLED
from ballast.apps.registered import Handler
from ballast.builtin.balances import AdjustBalance
from ballast.builtin.replies import DeliverReply
from ballast.inbox import Dispatch, Inbox, Offer, Publisher, Receipt
from ballast.inbox.limits import LANE_LENGTH_MAX, UNKNOWN_KIND_SECONDS
from ballast.messages import Message
from ballast.queueing import outbox_relay
from dbcore import Guard, jobs_waiting, outbox
from dbcore.breaker import override
from dbcore.errors import DatabaseAway
from dbcore.qualified_names import qualified
from dbcore.redis_pace import RESPONSIVE
from devstack.ports import free_port
from devstack.proxy import FaultProxy, On, Rule, Side, Silence
from tests.conftest import MakeSettings
from tests.harness.logins import login_of
from tests.harness.queueing import Queueing, fill_inbox, queueing_at
from workers import relay as relaying
from workers.context import WorkerContext
from workers.relay import Relay
from workers.rescuer import LEASE_KEY, SHUT_KEY, Rescuer
from workers.tasks import health

ANN, BEN = 7, 8


def say(text: str, user: int = ANN) -> DeliverReply:
    return DeliverReply(messages=(Message(chat_id=user, text=text),))


@dataclass
class Bench:
    """A guard that enqueues, and what relays into one inbox."""

    guard: Guard
    queueing: Queueing
    proxy: FaultProxy

    @property
    def client(self) -> redis.Redis:
        return self.queueing.client

    def enqueue(self, *texts: str, user: int = ANN, key: str | None = None) -> None:
        """A transaction for each."""
        for text in texts:
            self.guard.transact(lambda tx, text=text: tx.enqueue(say(text, user), key=key, user=user))  # type: ignore[misc]

    def relay(self, **changes: Any) -> Relay:
        parts: dict[str, Any] = {
            "client": self.client,
            "engine": self.guard.engine,
            "inbox": self.queueing.inbox,
            "publisher": self.queueing.publisher,
        }
        return Relay(**{**parts, **changes})

    def rows(self) -> int:
        return outbox.waiting(self.guard.engine).rows

    def on_record(self) -> list[str]:
        return [
            job_id.decode() for job_id in cast(list[bytes], self.client.zrange("ballast:inbox:all", 0, -1))
        ]

    def do_all(self) -> list[str]:
        """Do the jobs on record as workers would, each user's in their order; what they said."""
        said = []
        while ids := self.on_record():
            for job_id in ids:
                if claim := self.queueing.inbox.claim(job_id, "worker"):
                    said.append(claim.envelope.fields["messages"][0]["text"])
                    self.queueing.inbox.finish(job_id)
        return said


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    server = urlsplit(database_url)
    assert server.hostname is not None
    assert server.port is not None
    with (
        FaultProxy(server.hostname, server.port, login=login_of(database_url)) as proxy,
        queueing_at(redis_url) as queueing,
    ):
        guard = Guard.from_url(proxy.url_of(server.path.lstrip("/")), deadline_seconds=10)
        yield Bench(guard, queueing, proxy)
        guard.close()


def test_each_users_jobs_are_taken_in_their_order_and_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 2)
    bench.enqueue("a1", "a2", "a3")
    bench.enqueue("b1", "b2", user=BEN)
    assert bench.relay().run() == 5
    assert bench.client.llen("replies") == 2  # the first of each; the others follow when it is done
    said = bench.do_all()
    assert [text for text in said if text[0] == "a"] == ["a1", "a2", "a3"]
    assert [text for text in said if text[0] == "b"] == ["b1", "b2"]
    assert (bench.rows(), bench.relay().run()) == (0, 0)


def test_two_relays_side_by_side_take_each_job_once_and_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 5)

    def many(tx: Any) -> None:
        for number in range(60):
            for user in (ANN, BEN):
                tx.enqueue(say(f"{number:02}", user), user=user)

    bench.guard.transact(many)
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        others = [stack.enter_context(queueing_at(bench.queueing.redis_url)) for _ in range(3)]
        relays = [
            bench.relay(client=other.client, inbox=other.inbox, publisher=other.publisher) for other in others
        ]
        assert sum(pool.map(Relay.run, relays)) == 120
    for user in (ANN, BEN):
        lane = cast(list[bytes], bench.client.lrange(f"ballast:inbox:lane:user:{user}", 0, -1))
        numbers = [int(job_id.split(b"-")[1]) for job_id in lane]
        assert (len(numbers), numbers) == (60, sorted(numbers))
    assert bench.client.llen("replies") == 2


class _DiesAfter:
    """Counts steps, and kills this process by the given one."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _DyingInbox(Inbox):
    death: _DiesAfter

    def accept_many(self, offers: Sequence[Offer], *, publish: bool = False) -> list[Receipt]:
        self.death.step()
        receipts = super().accept_many(offers[:1], publish=publish)  # as if they were too large for one step
        self.death.step()
        return receipts


class _DyingPublisher(Publisher):
    death: _DiesAfter

    def publish_many(self, dispatches: Sequence[Dispatch]) -> int:
        published = super().publish_many(dispatches)
        self.death.step()
        return published


def _relay_that_dies(bench: Bench, steps: int) -> bool:
    """In a process of its own; False if it came to its end before that step."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        death = _DiesAfter(steps)
        with queueing_at(bench.queueing.redis_url) as own:
            inbox, publisher = _DyingInbox(own.client), _DyingPublisher(own.client)
            inbox.death = publisher.death = death

            def clock() -> float:
                death.step()
                return 0.0

            bench.relay(client=own.client, inbox=inbox, publisher=publisher, clock=clock).run()
    finally:
        os._exit(0)


def test_a_relay_that_is_killed_between_any_two_steps_loses_no_job_and_doubles_none(bench: Bench) -> None:
    steps = 0
    dies = True
    while dies:
        steps += 1
        bench.enqueue("1", "2")
        dies = _relay_that_dies(bench, steps)
        if steps % 2:  # done before the next relay comes, or after it
            said = bench.do_all()
            bench.relay().run()
            said += bench.do_all()
        else:
            bench.relay().run()
            said = bench.do_all()
        assert (steps, said, bench.rows()) == (steps, ["1", "2"], 0)
    # The clock before a batch, its rows, and after it; for each row the clock, both sides of accept, publish for one.
    assert steps > 9


def test_while_redis_is_unavailable_or_full_the_rows_wait_and_go_later_in_order(bench: Bench) -> None:
    bench.enqueue("1", "2")
    with queueing_at(f"redis://127.0.0.1:{free_port()}/0") as nowhere:
        lost = bench.relay(client=nowhere.client, inbox=nowhere.inbox, publisher=nowhere.publisher)
        with pytest.raises(redis.RedisError):
            lost.run()
    bench.enqueue("3")
    fill_inbox(bench.client, relaying.SIZE_MAX)
    assert (bench.relay().run(), bench.rows()) == (0, 3)
    bench.client.delete("ballast:inbox:all")
    assert bench.relay().run() == 3
    assert bench.do_all() == ["1", "2", "3"]


@pytest.mark.parametrize("removed", [False, True])
def test_a_database_that_freezes_when_the_rows_are_to_go_doubles_no_job(
    bench: Bench, removed: bool, database_url: str
) -> None:
    bench.enqueue("1", "2")
    side = (
        On(Side.SERVER, kind="C", statement="DELETE FROM outbox")
        if removed
        else On(statement="DELETE FROM outbox")
    )
    bench.proxy.add(Rule(side, Silence(), times=None))
    server = urlsplit(bench.proxy.url_of(urlsplit(database_url).path.lstrip("/"))).geturl()
    short = Guard.from_url(server, deadline_seconds=0.5)
    try:
        with pytest.raises(DatabaseAway):
            bench.relay(engine=short.engine).run()
    finally:
        short.close()
    bench.proxy.clear()
    assert bench.do_all() == ["1", "2"]
    bench.relay().run()
    assert (bench.do_all(), bench.rows()) == ([], 0)


def test_a_user_with_too_many_jobs_waits_and_keeps_nobody_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 3)
    bench.client.rpush(f"ballast:inbox:lane:outbox:{ANN}", *range(LANE_LENGTH_MAX))
    bench.enqueue(*"1234567")
    bench.enqueue("b", user=BEN)
    jobs_waiting.tell(bench.client)
    assert (bench.relay().run(), bench.rows(), bench.do_all()) == (1, 7, ["b"])
    assert jobs_waiting.read(bench.client) is not None  # some are left
    bench.client.delete(f"ballast:inbox:lane:outbox:{ANN}")
    assert bench.relay().run() == 7
    assert bench.do_all() == list("1234567")
    assert jobs_waiting.read(bench.client) is None


def test_a_full_lane_of_an_app_keeps_nobody_waiting_and_stays_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 3)
    handler = Handler(DeliverReply.kind, say, DeliverReply, "none", 1, lane="notice_of")
    monkeypatch.setitem(INSTALLED.handlers, DeliverReply.kind, handler)
    lane = "ballast:inbox:lane:app:replies:notice_of:order 1"
    bench.client.rpush(lane, *range(LANE_LENGTH_MAX))
    for text, order in (("1", "order 1"), ("2", "order 1"), ("b", "order 2"), ("3", "order 1"), ("c", None)):
        job = say(text).model_copy(update={"notice_of": order})
        bench.guard.transact(lambda tx, job=job: tx.enqueue(job, user=ANN))  # type: ignore[misc]
    assert (bench.relay().run(), bench.rows(), sorted(bench.do_all())) == (2, 3, ["b", "c"])
    bench.client.delete(lane)
    assert bench.relay().run() == 3
    assert bench.do_all() == list("123")


def test_a_deadline_runs_from_the_commit_however_late_the_row_is_taken(bench: Bench) -> None:
    bench.enqueue("late", "at once")
    aged = "UPDATE ballast.outbox SET created_at = created_at - interval '2 hours' WHERE payload::text LIKE '%%late%%'"
    bench.guard.transact(lambda tx: tx.connection.exec_driver_sql(qualified(aged, None)).rowcount)
    assert bench.relay().run() == 2
    waited = {}
    while ids := bench.on_record():
        for job_id in ids:
            if claim := bench.queueing.inbox.claim(job_id, "worker"):
                waited[claim.envelope.fields["messages"][0]["text"]] = claim.waited_ms
                bench.queueing.inbox.finish(job_id)
    assert waited["late"] >= 2 * 3_600_000 > waited["at once"]


def test_a_kind_that_nobody_knows_stops_no_other_and_fails_like_any(bench: Bench) -> None:
    class Redeem:
        kind = "shop.redeem"

        def model_dump_json(self) -> str:
            return '{"code": "HELLO"}'

    bench.guard.transact(lambda tx: tx.enqueue(Redeem(), user=ANN))
    bench.enqueue("after it")
    assert (bench.relay().run(), bench.rows()) == (2, 0)
    unknown = bench.on_record()[0]
    record = f"ballast:inbox:job:{unknown}"
    assert bench.client.hexists(record, "unknown_since")
    bench.client.hincrby(record, "unknown_since", -1000 * UNKNOWN_KIND_SECONDS)
    assert bench.queueing.inbox.unknown_kind(unknown, "shop.redeem") is not None
    claim = bench.queueing.inbox.claim(unknown, "worker")
    assert claim is not None
    assert claim.failure is not None
    assert (claim.envelope.fields, "no worker knows" in claim.failure) == ({"code": "HELLO"}, True)
    bench.queueing.inbox.finish(unknown)
    assert bench.do_all() == ["after it"]


def test_what_was_written_by_hand_and_cannot_be_read_is_a_failed_job_and_stops_no_other(
    bench: Bench, database_url: str
) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        for payload in ('{"a": "\\ud800"}', '{"a": ' + "[" * 1500 + "]" * 1500 + "}"):
            cursor.execute(
                "INSERT INTO outbox (kind, payload, key) VALUES ('balances.adjust', %s, 'k')", [payload]
            )
    bench.enqueue("after them")
    assert (bench.relay().run(), bench.rows()) == (3, 0)
    *broken, _ = bench.on_record()
    for job_id in broken:
        assert bench.client.hexists(f"ballast:inbox:job:{job_id}", "failure")
        bench.queueing.inbox.claim(job_id, "worker")
        bench.queueing.inbox.finish(job_id)
    assert (len(broken), bench.do_all()) == (2, ["after them"])


def test_one_key_is_one_job_and_the_operators_one_with_that_key(bench: Bench) -> None:
    credit = AdjustBalance(telegram_id=ANN, amount=100)

    def enqueue(job: AdjustBalance) -> None:
        bench.guard.transact(lambda tx: tx.enqueue(job, key="refund-42"))

    for relayed_between in (False, True):
        enqueue(credit)
        if relayed_between:
            bench.relay().run()
    enqueue(credit)
    bench.relay().run()
    assert bench.on_record() == ["operator-refund-42"]
    enqueue(AdjustBalance(telegram_id=ANN, amount=500))
    bench.relay().run()
    (_, wrong) = bench.on_record()
    failure = bench.client.hget(f"ballast:inbox:job:{wrong}", "failure")
    assert failure is not None
    assert b"came before with other arguments" in cast(bytes, failure)


def test_however_many_commits_ask_for_it_it_is_asked_for_once_until_it_begins(bench: Bench) -> None:
    def asked() -> int:
        return bench.client.llen("health")

    for _ in range(3):
        outbox_relay.ask(bench.client, bench.queueing.publisher)
    assert asked() == 1
    bench.relay().run()
    outbox_relay.ask(bench.client, bench.queueing.publisher)
    assert asked() == 2


def test_it_is_asked_for_when_the_breaker_closes(bench: Bench, make_settings: MakeSettings) -> None:
    rescuer = Rescuer(bench.client, bench.queueing.inbox, bench.queueing.publisher, make_settings())
    asked = []
    for word in ("auto", "open", "close"):
        override.set_override(bench.client, word, "tests")
        rescuer.look()
        asked.append(bench.client.llen("health"))
    assert asked == [0, 0, 1]


def test_it_is_asked_for_by_whoever_takes_over_when_the_breaker_closes(
    bench: Bench, make_settings: MakeSettings
) -> None:
    def rescuer() -> Rescuer:
        return Rescuer(bench.client, bench.queueing.inbox, bench.queueing.publisher, make_settings())

    override.set_override(bench.client, "open", "tests")
    rescuer().look()
    bench.client.delete(LEASE_KEY)  # its process stands still, and its lease ends
    override.set_override(bench.client, "close", "tests")
    heir = rescuer()
    for _ in range(2):
        heir.look()
    assert bench.client.llen("health") == 1
    assert not bench.client.exists(SHUT_KEY)


def test_it_is_asked_for_again_once_each_process_has_heard_that_the_breaker_is_closed(
    bench: Bench, make_settings: MakeSettings
) -> None:
    pace = replace(RESPONSIVE, link=0.0)
    rescuer = Rescuer(
        bench.client, bench.queueing.inbox, bench.queueing.publisher, make_settings(), pace=pace
    )
    for word in ("open", "close"):
        override.set_override(bench.client, word, "tests")
        rescuer.look()
    bench.relay().run()  # by a process that heard of it; by another it would have been refused
    assert bench.client.llen("health") == 1
    deadline = time.monotonic() + 30
    while bench.client.llen("health") == 1 and time.monotonic() < deadline:
        time.sleep(0.05)
        rescuer.look()
    assert bench.client.llen("health") == 2
    bench.relay().run()
    rescuer.look()
    assert bench.client.llen("health") == 2


@pytest.mark.parametrize("mode", ["always", "thrifty"])
def test_a_probe_takes_rows_along_but_wakes_no_sleeping_database_unless_it_is_told_of_them(
    mode: str,
    bench: Bench,
    database_url: str,
    redis_url: str,
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(database_url=database_url, redis_url=redis_url, health_probe_mode=mode)
    app = Celery("tests", broker=redis_url, set_as_current=False)
    worker = WorkerContext(settings, app, forked=False)
    member = Guard(settings)
    try:
        bench.enqueue("1")  # by a program without Redis
        health._probe(worker, "beat")
        assert bench.rows() == (0 if mode == "always" else 1)
        member.transact(lambda tx: tx.enqueue(say("2"), user=ANN))
        member.close()  # says the last of what it has to say
        bench.client.delete(*bench.client.keys("ballast:probe:slot:*"))
        health._probe(worker, "beat")
        assert (bench.rows(), bench.do_all()) == (0, ["1", "2"])
        assert jobs_waiting.read(bench.client) is None
    finally:
        member.close()
        worker.engine.dispose()
        worker.redis.close()
        app.close()


def test_a_run_that_has_used_up_its_time_asks_for_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 1)
    bench.enqueue("1", "2", "3")
    ticks: Callable[[], float] = iter([0.0, 1.0, 1.0, *[relaying.RUN_SECONDS_MAX] * 9]).__next__
    assert bench.relay(clock=ticks).run() == 1
    assert (bench.rows(), bench.client.llen("health")) == (2, 1)
