"""What operators see and do on the status page, with the real processes; it answers while all else is frozen."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ballast
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness import clusters
from tests.harness.people import all_settled, register, say

OPS_TOKEN = "sesame, open, sesame"
PAGES = (
    "/",
    "/status.json",
    "/status/probes.json",
    "/health",
    "/health/live",
    "/health/ready",
    "/db-status",
    "/db-stability",
    "/outages",
    "/outages.json",
    "/outages.csv",
    "/status-page",
    "/metrics",
)
ANSWER_SECONDS_MAX = 0.5
"""Of the fastest of several: who waits for Redis or the database waits for a second at least, every time."""
PUBLIC_SECONDS_MAX = 0.1
"""The same of the page that everybody may ask for."""


def asked(stack: Stack, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ops_port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {OPS_TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def status(stack: Stack) -> dict[str, Any]:
    code, page = asked(stack, "/status.json")
    assert code == 200
    shown: dict[str, Any] = json.loads(page)
    return shown


async def shows(stack: Stack, told: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """The page once it says so; asking for it is watching it."""
    page: dict[str, Any] = {}

    def says_so() -> bool:
        nonlocal page
        page = status(stack)
        return told(page)

    await asyncio.to_thread(stack.wait_until, says_so, f"the page shows {what}")
    return page


def order(stack: Stack, action: str, target: str = "") -> str:
    """Its id."""
    action_id = str(uuid.uuid4())
    for _ in range(2):  # as a browser does that had no answer
        code, answer = asked(stack, "/actions", {"id": action_id, "action": action, "target": target})
        assert code == 202, answer
    return action_id


def outcomes(page: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(each["action"], each["target"]): each["outcome"] for each in page["recent_actions"]}


async def test_an_operator_sees_the_fleet_and_acts_and_it_is_in_the_books(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(OPS_TOKEN=OPS_TOKEN, HEALTH_PROBE_SECONDS="1", DB_CONNECTION_BUDGET="20")
    stack.start("frontend", "main", "light", "bulk", "beat")
    stack.wait_ready(processes=4)
    alice, boris = await register(telegram, "Alice", "Boris")
    await telegram.inject({"message": {"text": "no sender and no chat"}})
    await say(telegram, ADMIN_ID, "/start")

    page = await shows(stack, lambda page: page["dead_letters"]["items"], "a dead letter")
    assert page["verdict"]["title"] == "Running, but 1 failed job needs you", page["verdict"]
    assert (page["database"]["state"], page["breaker"]["state"]) == ("ok", "closed")
    assert page["database"]["version"]
    assert page["version"] == ballast.__version__
    assert page["telegram"]["ok"] is True
    assert {worker["name"] for worker in page["workers"]} == {"main", "light", "bulk"}
    assert all(worker["beat_age_seconds"] < 60 for worker in page["workers"])
    assert all(queue["attended"] for queue in page["queues"])
    # Each process says how many it has open when it next hears of the fleet.
    page = await shows(stack, lambda page: page["connections"]["open"] >= 1, "an open connection")
    assert page["connections"]["open"] <= page["connections"]["possible"] <= page["connections"]["budget"]
    assert page["dead_letters"]["open"] == 1
    (letter,) = page["dead_letters"]["items"]
    *_, (at, ok, by, latency_ms, kind) = json.loads(asked(stack, "/status/probes.json")[1])["probes"]
    assert (ok, by, kind) == (True, "statement", None)
    assert at > 0 and latency_ms > 0

    # A refusal is an outcome, and no dead letter of its own; discarding it then is done once.
    order(stack, "dead_letter.retry", letter["reference"])
    order(stack, "dead_letter.discard", letter["reference"])
    page = await shows(stack, lambda page: page["dead_letters"]["open"] == 0, "no dead letter")
    page = await shows(stack, lambda page: "queued" not in outcomes(page).values(), "what came of both")
    assert "could not be read" in outcomes(page)["dead_letter.retry", letter["reference"]]
    assert outcomes(page)["dead_letter.discard", letter["reference"]] == "done"

    # One that can be done again is.
    stack.query(
        "WITH made AS (INSERT INTO failed_operations (job_id, kind, reference, telegram_id, error, payload) VALUES "
        "('lost-1', 'balances.adjust', 'AAAA2222', %s, 'boom', %s) RETURNING 1) SELECT count(*) FROM made",
        alice,
        json.dumps(
            {
                "job_id": "lost-1",
                "lane": "lost-1",
                "kind": "balances.adjust",
                "fields": {"telegram_id": alice, "amount": 700, "reason": "found again"},
            }
        ),
    )
    await shows(stack, lambda page: page["dead_letters"]["open"] == 1, "the other dead letter")
    order(stack, "dead_letter.retry", "AAAA2222")
    await telegram.wait_for_message(alice, lambda message: "found again" in message.text)
    order(stack, "dead_letter.retry", "AAAA2222")

    # A word for the breaker holds at once, and is in the books once they can be reached.
    order(stack, "breaker.open")
    page = await shows(stack, lambda page: page["verdict"]["state"] == "away", "the database away")
    assert page["breaker"]["state"] == "forced_open"
    assert page["transitions"][0]["by"] == "token (operator)"
    assert outcomes(page)["breaker.open", ""] == "done"
    assert page["dead_letters"]["age_seconds"] is not None
    order(stack, "breaker.auto")
    page = await shows(stack, lambda page: page["breaker"]["state"] == "closed", "the breaker closed")
    assert (page["outages"][0]["paused_by"], page["outages"][0]["reason"]) == ("token", None)
    assert page["outages"][0]["ended_at"] is not None
    printed = await asyncio.to_thread(stack.command, "ballast", "outages")
    assert printed.returncode == 0, printed.stderr
    assert "up in the last 24 hours:  100%, no outage" in printed.stdout
    assert "pause by token" in printed.stdout

    # A broadcast stops at an operator's word.
    await asyncio.to_thread(
        stack.command,
        "workers",
        *("broadcast", "start", "--text", "later", "--at", "2036-01-01T00:00:00+00:00", "--detach", "--yes"),
    )
    page = await shows(stack, lambda page: page["broadcasts"]["items"], "the broadcast")
    (broadcast,) = page["broadcasts"]["items"]
    assert (broadcast["status"], broadcast["scheduled_for"]) == ("scheduled", 2082758400.0)
    order(stack, "broadcast.pause", str(broadcast["id"]))
    order(stack, "broadcast.cancel", "999")
    page = await shows(
        stack, lambda page: page["broadcasts"]["items"][0]["status"] == "paused", "the broadcast paused"
    )
    await asyncio.to_thread(stack.command, "workers", "broadcast", "cancel", str(broadcast["id"]))

    await all_settled(stack, telegram)
    booked = stack.query("SELECT actor, action, target, outcome FROM admin_actions ORDER BY created_at")
    assert [(action, target, outcome.partition(":")[0]) for _, action, target, outcome in booked] == [
        ("dead_letter.retry", letter["reference"], "refused"),
        ("dead_letter.discard", letter["reference"], "done"),
        ("dead_letter.retry", "AAAA2222", "done"),
        ("dead_letter.retry", "AAAA2222", "refused"),
        ("breaker.open", "", "done"),
        ("breaker.auto", "", "done"),
        ("broadcast.start", str(broadcast["id"]), "done"),
        ("broadcast.pause", str(broadcast["id"]), "done"),
        ("broadcast.cancel", "999", "refused"),
        ("broadcast.cancel", str(broadcast["id"]), "done"),
    ]
    by_shell = [actor for actor, action, *_ in booked if action == "broadcast.start"] + [booked[-1][0]]
    assert all("@" in actor for actor in by_shell), "the command line's orders are in the books too"
    assert {actor for actor, *_ in booked} - {*by_shell} == {"token"}
    assert len(stack.query("SELECT 1 FROM failed_operations")) == 2, "no order became a dead letter"
    assert boris


@pytest.fixture
def own_servers(servers_folder: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedRedis]]:
    port = free_port()
    postgres = clusters.cluster(servers_folder / f"postgres-{port}", port, durable=False)
    postgres.start()
    clusters.migrate(postgres)
    other = EmbeddedRedis(servers_folder / f"redis-{port}", free_port())
    other.start()
    yield postgres, other
    other.stop()
    postgres.stop()


def signal_all_of(pid: int, number: signal.Signals) -> None:
    """The process and its children: PostgreSQL's backends go on without their postmaster."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        os.kill(each, number)


async def test_every_page_answers_at_once_while_postgresql_and_redis_are_frozen(
    make_stack: MakeStack, telegram: TelegramControl, own_servers: tuple[EmbeddedPostgres, EmbeddedRedis]
) -> None:
    postgres, other = own_servers
    assert postgres.pid is not None
    assert other.pid is not None
    stack = make_stack(
        database_url=postgres.url,
        redis_url=other.url,
        OPS_TOKEN=OPS_TOKEN,
        HEALTH_PROBE_SECONDS="1",
        PUBLIC_STATUS="true",
    )
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)
    await register(telegram, "Alice")
    await shows(stack, lambda page: page["database"]["state"] == "ok", "the probe")
    await shows(stack, lambda page: len(page["uptime"]) > 0, "the uptime")
    assert "The bot is working" in (await asyncio.to_thread(asked, stack, "/status-page"))[1]
    for pid in (postgres.pid, other.pid):
        signal_all_of(pid, signal.SIGSTOP)
    try:
        seconds: dict[str, list[float]] = {path: [] for path in PAGES}
        for _ in range(7):
            for path in PAGES:
                before = time.perf_counter()
                code, _ = await asyncio.to_thread(asked, stack, path)
                seconds[path].append(time.perf_counter() - before)
                assert code in {200, 503}
            await asyncio.to_thread(asked, stack, "/actions", {"id": "x", "action": "", "target": ""})
        fastest = {path: min(took) for path, took in seconds.items()}
        assert max(fastest.values()) < ANSWER_SECONDS_MAX, fastest
        assert fastest["/status-page"] < PUBLIC_SECONDS_MAX, fastest
        page = await shows(stack, lambda page: page["verdict"]["state"] == "down", "Redis away")
        assert page["redis"]["ok"] is False
        assert page["database"]["version"], "what was known is still shown"
        _, public = await asyncio.to_thread(asked, stack, "/status-page")
        assert "We have a technical problem" in public
        assert re.search(r"<dt>Last (?:minute|\d+ minutes)</dt><dd>[\d.]+%</dd>", public), public
        told = re.sub(r"<head>.*</head>|<dl.*</dl>|<footer.*</footer>|<[^>]*>", "", public, flags=re.DOTALL)
        assert not re.search(r"\d", told), "it has no counts"
        code, answer = await asyncio.to_thread(
            asked, stack, "/actions", {"id": str(uuid.uuid4()), "action": "breaker.open", "target": ""}
        )
        assert (code, "Redis does not answer" in answer) == (503, True)
    finally:
        for pid in (other.pid, postgres.pid):
            signal_all_of(pid, signal.SIGCONT)
    await shows(stack, lambda page: page["verdict"]["state"] in {"ok", "working_through"}, "all well again")
    await all_settled(stack, telegram)
