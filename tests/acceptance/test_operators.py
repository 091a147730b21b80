"""What operators start by hand, with Celery's own commands."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg2

from devstack import programs
from devstack.ports import free_port
from devstack.programs import Program
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    answers,
    ask_credits,
    assert_audit_passes,
    balances,
    call,
    confirm,
    queue_task,
    register,
    say,
)


async def test_a_worker_without_a_bots_token_does_its_jobs_and_leaves_the_answers_to_one_that_has_it(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    alice = (await telegram.create_user("Alice", started=True)).id
    lone = make_stack(TELEGRAM_BOT_TOKEN="")
    lone.start("main")
    queue_task(lone, "workers.users.get_or_create", {"telegram_id": alice, "first_name": "Alice"})
    await asyncio.to_thread(lone.wait_until, lambda: alice in balances(lone), "the user is registered")
    queue_task(lone, "workers.balances.adjust", {"telegram_id": alice, "amount": 550})
    await asyncio.to_thread(lone.wait_until, lambda: balances(lone)[alice] == 550, "the credit is applied")
    await asyncio.to_thread(lone.wait_until, lambda: "answer_waits" in lone.log("main"), "its answer waits")
    stack = make_stack()
    stack.start("light")
    for waiting in lone.redis.zrange("ballast:inbox:due", 0, -1):
        lone.redis.zadd("ballast:inbox:due", {bytes(waiting): 0})  # type: ignore[arg-type]  # bytes, as no decoding is set
    await telegram.wait_for_message(alice, lambda message: "You were credited 5.50" in message.text)
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 550


async def test_beat_has_the_probe_run_and_the_pages_show_it(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(HEALTH_PROBE_SECONDS="1")
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)

    def probed() -> bool:
        return stack.get("/db-status")[1]["probe"] is not None

    await asyncio.to_thread(stack.wait_until, probed, "a probe is shown")
    status = stack.get("/db-status")[1]
    assert status["state"] == "ok"
    assert status["probe"]["server_version"]
    assert status["probe"]["missing_tables"] in ([], None)
    assert stack.get("/health")[1]["status"] == "ok"
    ((rows,),) = stack.query("SELECT count(*) FROM health_probes")
    assert rows >= 1
    assert "Database stability monitoring started" in stack.log("main")

    # A database that was not migrated for this release answers, and the page says what it lacks.
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER FUNCTION health_probe RENAME TO elsewhere")
    connection.close()

    def lacks_it() -> bool:
        probe = stack.get("/db-status")[1]["probe"]
        return probe["kind"] == "schema" and "health_probe" in probe["error"] if not probe["ok"] else False

    await asyncio.to_thread(stack.wait_until, lacks_it, "what is missing is shown")
    assert stack.get("/db-status")[1]["state"] == "unavailable"


async def test_beat_asks_for_a_probe_as_it_starts_and_not_a_period_later(make_stack: MakeStack) -> None:
    stack = make_stack(HEALTH_PROBE_SECONDS="3600")
    stack.start("frontend", "light", "beat")
    stack.wait_ready(processes=1)
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.get("/db-status")[1]["probe"] is not None, "a probe is shown"
    )


async def test_two_beats_probe_once_a_period_and_one_carries_on_alone(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(HEALTH_PROBE_SECONDS="2")
    stack.start("frontend", "light")
    for beat in ("one", "two"):
        folder = stack.folder / beat
        folder.mkdir()
        stack.run(beat, programs.beat(folder))
    stack.wait_ready(processes=1)

    def probes() -> int:
        return int(stack.query("SELECT count(*) FROM health_probes")[0][0])

    await asyncio.to_thread(stack.wait_until, lambda: probes() >= 4, "both beats have asked for probes")
    ((seconds,),) = stack.query(
        "SELECT extract(epoch FROM max(created_at) - min(created_at)) FROM health_probes"
    )
    assert probes() <= float(seconds) / 2 + 2  # one a period, and one more for each end
    stack.kill("one")
    alone = probes()
    await asyncio.to_thread(stack.wait_until, lambda: probes() >= alone + 2, "the other beat carries on")


BALANCES = 5


class Flower:
    """Its API, as `user:password`."""

    def __init__(self, port: int, auth: str | None, *, host: str = "127.0.0.1") -> None:
        self._root = f"http://{host}:{port}/api"
        self._headers = (
            {} if auth is None else {"Authorization": "Basic " + b64encode(auth.encode()).decode()}
        )

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Raises OSError, of which urllib.error.HTTPError is one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._root + path, data=data, headers=self._headers)  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def status(self, path: str, body: dict[str, Any] | None = None) -> int:
        """HTTP's; 0 while nobody listens."""
        try:
            self.ask(path, body)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return 200

    def sees_workers(self, count: int) -> bool:
        try:
            return len(self.ask("/workers?refresh=1")) == count
        except OSError:
            return False

    def start(self, task: str, **arguments: Any) -> str:
        """Start a task by name; its id."""
        return str(self.ask(f"/task/async-apply/{task}", {"kwargs": arguments})["task-id"])

    def tasks(self, name: str) -> dict[str, dict[str, Any]]:
        found = self.ask(f"/tasks?taskname={name}&limit=50")
        assert isinstance(found, dict)
        return found


@contextmanager
def tasks_wait_in(stack: Stack, name: str) -> Iterator[None]:
    """A worker takes tasks and begins with none until the end of the block: its children are frozen."""
    children = psutil.Process(stack.pid(name)).children()
    for child in children:
        child.suspend()
    try:
        yield
    finally:
        for child in children:
            child.resume()


def niceness(stack: Stack, name: str) -> int:
    return int(psutil.Process(stack.pid(name)).nice())


async def test_an_operator_sees_and_starts_work_in_flower_and_nobodys_text(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    port = free_port()
    stack = make_stack(FLOWER_PORT=str(port), FLOWER_BASIC_AUTH="ops:pass")
    stack.start("frontend", "main", "bulk", "light", "flower")
    stack.wait_ready(processes=4)
    people = await register(telegram, "Alice", "Boris", "Clara")
    alice = people[0]
    flower = Flower(port, "ops:pass")
    await asyncio.to_thread(stack.wait_until, lambda: flower.sees_workers(3), "Flower sees all workers")
    assert niceness(stack, "flower") > niceness(stack, "main"), "answers come before Flower"
    turned_on = "Events of group {task} enabled by remote"
    await asyncio.to_thread(
        stack.wait_until,
        lambda: all(turned_on in stack.log(name) for name in ("main", "bulk")),
        "Flower has turned the workers' events on",
    )

    for _ in range(BALANCES):  # most of which get to a process without a message of Celery's
        await say(telegram, alice, "/balance")

    def balances_shown() -> list[dict[str, Any]]:
        return [*flower.tasks("workers.balances.show").values()]

    await asyncio.to_thread(
        stack.wait_until, lambda: len(balances_shown()) == BALANCES, "Flower shows what people asked for"
    )
    assert {(task["state"], task["kwargs"]) for task in balances_shown()} == {("SUCCESS", "job_id, place")}

    upkeep = ("workers.health.probe", "workers.broadcasts.watch")
    flower.start(upkeep[0], trigger="operator")
    flower.start(upkeep[1])
    secret = "the office is closed on Friday"
    task_id = flower.start("workers.broadcasts.start", text=secret, idempotency_key="friday")
    for person in people:
        await telegram.wait_for_message(person, lambda message: message.text == secret, timeout_seconds=60)

    def sees_the_tasks() -> bool:
        started = flower.tasks("workers.broadcasts.start")
        chunks = flower.tasks("workers.broadcasts.send_chunk")
        done = [task["state"] == "SUCCESS" for task in (*started.values(), *chunks.values())]
        return task_id in started and len(chunks) > 0 and all(done)

    await asyncio.to_thread(stack.wait_until, sees_the_tasks, "Flower shows the broadcast's tasks as done")
    await all_settled(stack, telegram)
    statuses = stack.query("SELECT status, sent FROM broadcasts")
    assert statuses == [("finished", len(people))]

    (main,) = (name for name in flower.ask("/workers") if name.startswith("main@"))

    def adjustment() -> dict[str, Any] | None:
        """The task as the page of its worker shows it."""
        worker = flower.ask(f"/workers?refresh=1&workername={main}")[main]
        at_hand = [*worker.get("active", ()), *worker.get("reserved", ())]
        return next((task for task in at_hand if task["name"] == "workers.balances.adjust"), None)

    with tasks_wait_in(stack, "main"):
        call(stack, "workers.balances.adjust", {"telegram_id": alice, "amount": 700, "reason": secret})
        await asyncio.to_thread(
            stack.wait_until, lambda: adjustment() is not None, "the worker's task is shown"
        )
        waiting = adjustment()
    assert waiting is not None
    assert waiting["kwargs"] == "telegram_id, amount, reason"
    await telegram.wait_for_message(alice, lambda message: "You were credited 7.00" in message.text)

    wrong = call(stack, "workers.balances.adjust", {"amount": 5, "reason": secret})

    def failure() -> str:
        return str(flower.tasks("workers.balances.adjust").get(wrong, {}).get("exception"))

    await asyncio.to_thread(
        stack.wait_until,
        lambda: "expected either telegram_id or username" in failure(),
        "Flower says what was wrong",
    )
    assert stack.query("SELECT 1 FROM health_probes WHERE trigger = 'operator'"), "it was started by its name"
    seen = {task["name"] for task in flower.ask("/tasks?limit=1000").values()}
    assert seen.isdisjoint(upkeep), "what keeps the bot up buries nobody's job"
    shown = json.dumps([flower.ask("/tasks?limit=1000"), waiting, flower.ask("/workers?refresh=1")])
    assert secret not in shown
    assert all(secret not in stack.log(name) for name in ("frontend", "main", "bulk", "light", "flower"))

    stack.stop("flower")
    stack.env["FLOWER_READ_ONLY"] = "True"
    stack.start("flower")
    await asyncio.to_thread(stack.wait_until, lambda: flower.sees_workers(3), "Flower is back")
    assert task_id in flower.tasks("workers.broadcasts.start"), "what it saw before is kept"
    adjust = {"kwargs": {"telegram_id": alice, "amount": 1}}
    for path in ("async-apply", "apply", "send-task"):
        assert flower.status(f"/task/{path}/workers.balances.adjust", adjust) == 403, path
    assert flower.status(f"/worker/shutdown/{main}", {}) == 403
    assert balances(stack)[alice] == 700


async def test_flower_started_by_itself_has_a_password_and_says_which(make_stack: MakeStack) -> None:
    port = free_port()
    stack = make_stack(FLOWER_PORT=str(port), FLOWER_ADDRESS="127.0.0.2")
    argv = [sys.executable, "-m", "celery", "-A", "workers", "flower"]
    stack.run("flower", Program("flower", argv, stop_seconds=10))
    said = re.compile(r"user (\S+), password (\S+)")
    await asyncio.to_thread(
        stack.wait_until, lambda: said.search(stack.log("flower")) is not None, "the password is printed"
    )
    found = said.search(stack.log("flower"))
    assert found is not None
    nobody, guesser, reader = (
        Flower(port, auth, host="127.0.0.2") for auth in (None, "admin:wrong", ":".join(found.groups()))
    )
    await asyncio.to_thread(
        stack.wait_until, lambda: nobody.status("/workers") == 401, "nobody is let in without it"
    )
    assert guesser.status("/workers") == 401
    assert reader.status("/workers") == 200
    assert Flower(port, None).status("/workers") == 0, "it listens where it was told to, alone"


async def test_by_webhook_the_bot_is_the_same(make_stack: MakeStack, telegram: TelegramControl) -> None:
    stack = make_stack()
    stack.env["TELEGRAM_WEBHOOK_URL"] = f"http://127.0.0.1:{stack.ops_port}/telegram"
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    alice, boris = await register(telegram, "Alice", "Boris", credit="10")
    question = await say(telegram, alice, "/send @boris 4")
    await telegram.press_button(alice, question, "Confirm")
    await telegram.wait_for_message(boris, lambda message: "sent you 4.00" in message.text)
    cards = await ask_credits(telegram, 5)
    stack.kill("frontend")
    for card in cards:
        await confirm(telegram, card)
    stack.start("frontend")
    await all_settled(stack, telegram)
    assert balances(stack)[alice] == 1100
    assert sum("You were credited 1.00" in text for text in await answers(telegram, alice)) == 5
    deliveries = await telegram.webhook_deliveries()
    assert deliveries
    assert_audit_passes(stack)
