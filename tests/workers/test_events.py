"""Events reach a receiver that fails, is slow or is killed: none is lost, and one person's are in order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ballast.inbox import Publisher
from ballast.queueing import event_asking
from dbcore import events, failed_operations
from dbcore.breaker import override
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.settings import Settings, SettingsError, load_settings
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at
from workers.events import EventSender, OutageTeller, Webhook
from workers.rescuer import Rescuer

SECRET = b"0123456789abcdef01234567"
ANN, BEN = 7, 8


@dataclass
class Receiver:
    """Takes events, and answers as `answer` says of each."""

    url: str = ""
    answer: Callable[[dict[str, Any]], int] = lambda _: 204
    taken: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def balances(self, telegram_id: int) -> list[int]:
        """The versions that were taken of an account, each when it came first."""
        versions = [
            event["data"]["version"]
            for event in self.taken
            if event["type"] == "balance.changed" and event["data"]["telegram_id"] == telegram_id
        ]
        return list(dict.fromkeys(versions))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
            if self.headers["webhook-signature"] != f"v1,{expected}":
                found.wrong.append(str(self.headers))
            event = {"id": self.headers["webhook-id"], **json.loads(body)}
            status = found.answer(event)
            if 200 <= status < 300:
                found.taken.append(event)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield found
    server.shutdown()
    server.server_close()
    assert not found.wrong


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url, db_deadline_seconds=30))
    for number in (ANN, BEN):
        users.get_or_create(made, profile=users.Profile(number, None, "A"))
    events.want(made, True)
    yield made
    made.dispose()


def sender(
    engine: GuardedEngine, queueing: Queueing, receiver: Receiver, seconds: float = 5.0
) -> EventSender:
    publisher = Publisher(queueing.client)
    webhook = Webhook(receiver.url, SECRET, send_seconds_max=seconds)
    return EventSender(queueing.client, engine, publisher, webhook)


def credit(engine: GuardedEngine, telegram_id: int, key: str, amount: int = 100) -> None:
    target = users.UserRef(telegram_id=telegram_id)
    ledger.adjust(engine, key=key, target=target, amount=amount, memo="", actor="t")


def waiting(engine: GuardedEngine) -> int:
    return int(engine.fetch_row("SELECT count(*) FROM ballast.events", name="t", writes=False)[0])


def make_all_due(engine: GuardedEngine) -> None:
    engine.fetch_row(
        "WITH u AS (UPDATE ballast.events SET next_attempt_at = now() RETURNING 1) SELECT count(*) FROM u",
        name="t",
    )


def test_what_is_committed_is_told_and_what_is_not_wanted_is_not(
    engine: GuardedEngine, queueing: Queueing, receiver: Receiver
) -> None:
    credit(engine, ANN, "a", 500)
    ledger.transfer(engine, key="t", sender_telegram_id=ANN, recipient_telegram_id=BEN, amount=200, memo="")
    ledger.transfer(engine, key="no", sender_telegram_id=BEN, recipient_telegram_id=ANN, amount=900, memo="")
    engine.fetch_row(  # as an import books
        "SELECT ballast.ledger_adjust('opening:8', 'f', 8, NULL, 5, 'CREDIT', '', 't')", name="t"
    )
    failure: dict[str, Any] = {
        "job_id": "j",
        "kind": "shop.order",
        "reference": "ABCDEFGH",
        "telegram_id": ANN,
        "error": "boom",
        "payload": {},
    }
    for _ in range(2):  # told once while it is open
        failed_operations.record(engine, **failure)
    assert sender(engine, queueing, receiver).run() == 4
    told = [
        (event["type"], event["data"].get("amount"), event["data"].get("balance")) for event in receiver.taken
    ]
    assert sorted(told, key=str) == sorted(
        [
            ("balance.changed", 500, 500),
            ("balance.changed", -200, 300),
            ("balance.changed", 200, 200),
            ("job.failed", None, None),
        ],
        key=str,
    )
    assert waiting(engine) == 0
    assert events.want(engine, False) and not events.want(engine, False)
    credit(engine, ANN, "b")
    assert waiting(engine) == 0


def test_each_persons_events_are_taken_in_order_however_often_the_receiver_fails(
    engine: GuardedEngine, queueing: Queueing, receiver: Receiver
) -> None:
    tries: dict[str, int] = defaultdict(int)

    def sometimes(event: dict[str, Any]) -> int:
        tries[event["id"]] += 1
        return 204 if tries[event["id"]] == 3 else 500

    receiver.answer = sometimes
    for number in range(8):
        credit(engine, ANN if number % 2 else BEN, f"k{number}")
    while waiting(engine):
        sender(engine, queueing, receiver).run()
        make_all_due(engine)  # a while later
    assert receiver.balances(ANN) == receiver.balances(BEN) == [1, 2, 3, 4]


def test_a_receiver_that_does_not_answer_is_left_alone_for_a_while_and_keeps_nobody_else_waiting(
    engine: GuardedEngine, queueing: Queueing, receiver: Receiver
) -> None:
    hung = threading.Event()

    def hangs_on_ann(event: dict[str, Any]) -> int:
        if event["data"]["telegram_id"] == ANN:
            hung.wait(30)
        return 200

    receiver.answer = hangs_on_ann
    for number in range(4):
        credit(engine, ANN if number % 2 else BEN, f"k{number}")
    assert sender(engine, queueing, receiver, 0.5).run() == 2
    assert (receiver.balances(BEN), receiver.balances(ANN)) == ([1, 2], [])
    # What failed is not due at once, so it is not tried again and again.
    assert (sender(engine, queueing, receiver, 0.5).run(), waiting(engine)) == (0, 2)
    hung.set()
    receiver.answer = lambda _: 200
    make_all_due(engine)
    assert sender(engine, queueing, receiver).run() == 2
    assert receiver.balances(ANN)[-2:] == [1, 2]


def send_in_a_process(url: str, redis_url: str, receiver_url: str) -> None:
    settings = Settings(_env_file=None, database_url=url)
    with queueing_at(redis_url) as queueing:
        sender(GuardedEngine(settings), queueing, Receiver(receiver_url)).run()


def test_a_sender_that_is_killed_loses_no_event(
    engine: GuardedEngine, queueing: Queueing, receiver: Receiver, database_url: str
) -> None:
    """It dies when the receiver has the event, and before it is written down that it has."""
    came = threading.Event()

    def takes_and_holds(_: dict[str, Any]) -> int:
        came.set()
        time.sleep(1)
        return 200

    receiver.answer = takes_and_holds
    credit(engine, ANN, "a")
    credit(engine, ANN, "b")
    process = multiprocessing.get_context("spawn").Process(
        target=send_in_a_process, args=(database_url, queueing.redis_url, receiver.url)
    )
    process.start()
    assert came.wait(60) and process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    receiver.answer = lambda _: 200
    assert sender(engine, queueing, receiver).run() == 0  # the dead one's lock ends by itself
    queueing.client.delete("ballast:events:sending")
    while waiting(engine):
        sender(engine, queueing, receiver).run()
    assert receiver.balances(ANN) == [1, 2]


def test_what_nobody_took_for_days_is_dropped(engine: GuardedEngine) -> None:
    credit(engine, ANN, "a")
    assert events.prune(engine, 7) == 0
    engine.fetch_row(
        "WITH u AS (UPDATE ballast.events SET created_at = now() - interval '8 days' RETURNING 1) "
        "SELECT count(*) FROM u",
        name="t",
    )
    assert events.prune(engine, 7) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"events_url": "https://example.com"},
        {"events_url": "example.com", "events_secret": "whsec_" + base64.b64encode(SECRET).decode()},
        {"events_url": "https://example.com", "events_secret": "whsec_c2hvcnQ="},
        {"events_url": "https://example.com", "events_secret": "no"},
    ],
)
def test_events_are_never_sent_unsigned(monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> None:
    for option, value in options.items():
        monkeypatch.setenv(option.upper(), value)
    with pytest.raises(SettingsError, match="EVENTS_"):
        load_settings()


def test_an_outage_is_told_once_while_it_is_on_without_the_database(
    queueing: Queueing, receiver: Receiver
) -> None:
    teller = OutageTeller(queueing.client, Webhook(receiver.url, SECRET))
    assert not teller.tell(), "nothing is held back"
    override.set_override(queueing.client, "open", "web:nadia")
    receiver.answer = lambda _: 500
    assert not teller.tell()
    receiver.answer = lambda _: 204
    assert [teller.tell() for _ in range(3)] == [True, False, False]
    override.set_override(queueing.client, "auto", "web:nadia")
    assert not teller.tell()
    override.set_override(queueing.client, "open", "web:otto")
    assert teller.tell()
    first, second = receiver.taken
    assert [event["type"] for event in (first, second)] == ["outage.began"] * 2
    assert first["id"].startswith("evt_outage_") and first["id"] != second["id"]
    assert first["data"]["began_at"] < second["data"]["began_at"] <= time.time() + 1
    assert first["data"]["reason"] is None and "nadia" in first["data"]["paused_by"]


def test_a_worker_has_it_told_by_a_queue_that_is_open_in_an_outage(
    queueing: Queueing, make_settings: MakeSettings, redis_url: str
) -> None:
    settings = make_settings(
        redis_url=redis_url, events_url="https://receiver.example/hook", events_secret="whsec_" + "QUFB" * 8
    )
    rescuer = Rescuer(queueing.client, queueing.inbox, queueing.publisher, settings)
    rescuer.look()
    assert queueing.client.llen(event_asking.OUTAGE_QUEUE) == 0
    override.set_override(queueing.client, "open", "web:nadia")
    for _ in range(3):
        rescuer.look()
    (message,) = queueing.client.lrange(event_asking.OUTAGE_QUEUE, 0, -1)
    assert json.loads(message)["headers"]["task"] == event_asking.OUTAGE_TASK
