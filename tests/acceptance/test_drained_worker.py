"""A worker that an operator drains: others go on, it finishes what it has and says so; also frozen, killed or alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket

import psutil

from ballast.inbox import Inbox
from ballast.queueing import worker_drains
from ballast.queueing.worker_drains import Worker, WorkerState
from dbcore.redis_client import redis_time
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, assert_audit_passes, balances, register, say

MAIN, OTHER, LIGHT = (f"{name}@{socket.gethostname()}" for name in ("main", "other", "light"))


SLOW_SECONDS = 8.0


def workers(stack: Stack) -> dict[str, Worker]:
    found = worker_drains.workers(
        Inbox(stack.redis).processes(), worker_drains.read(stack.redis), redis_time(stack.redis)
    )
    return {each.name: each for each in found}


def is_in(stack: Stack, name: str, *states: WorkerState) -> bool:
    return name in (found := workers(stack)) and found[name].state in states


def has_said_so(stack: Stack, name: str) -> bool:
    drain = worker_drains.read(stack.redis).get(name)
    return drain is not None and drain.said_at is not None


def at_work(stack: Stack) -> set[str]:
    """Those that have a transfer in hand."""
    return {
        each.name
        for each in workers(stack).values()
        if any(job["kind"] == "transactions.confirm" for job in each.jobs)
    }


async def until(stack: Stack, name: str, *states: WorkerState) -> None:
    await asyncio.to_thread(
        stack.wait_until, lambda: is_in(stack, name, *states), f"{name} is {' or '.join(states)}"
    )


async def shell(stack: Stack, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(stack.command, "ballast", "workers", *arguments)
    return done.returncode, done.stdout + done.stderr


async def test_a_drained_worker_finishes_what_it_has_while_another_goes_on_and_the_last_one_asks(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack()
    stack.start("frontend", "main", "light")
    stack.run("other", stack.program("main", node="other"))
    stack.wait_ready(processes=5)
    alice, boris = await register(telegram, "Alice", "Boris", credit="20")
    code, said = await shell(stack, "drain", "mian@nowhere")
    assert (code, "expected one of" in said and MAIN in said) == (1, True)

    # It is at work on an answer that Telegram is slow to take when it is told to drain.
    question = await say(telegram, alice, "/send @boris 5")
    await telegram.add_fault(
        "latency", methods=["editMessageText"], chat_id=alice, seconds=SLOW_SECONDS, count=1
    )
    await telegram.press_button(alice, question, "Confirm")
    await asyncio.to_thread(stack.wait_until, lambda: bool(at_work(stack)), "the transfer is begun")
    (busy,) = at_work(stack)
    other = OTHER if busy == MAIN else MAIN
    draining = asyncio.create_task(shell(stack, "drain", busy, "--reason", "new disk"))
    await asyncio.to_thread(stack.wait_until, lambda: has_said_so(stack, busy), "it says that it drains")
    assert at_work(stack) == {busy} and is_in(stack, busy, WorkerState.DRAINING)
    code, said = await draining
    assert "is draining: transactions.confirm for" in said
    assert (code, said.strip().splitlines()[-1]) == (0, f"{busy} is drained: nothing is left that it had")
    await all_settled(stack, telegram)
    assert balances(stack)[boris] == 2_500
    name = busy.partition("@")[0]
    done = stack.log(name).count('"job_done"')
    for _ in range(8):
        await say(telegram, alice, "/balance")
    assert stack.log(name).count('"job_done"') == done, "others do what comes"

    code, said = await shell(stack, "drain", other)
    assert code == 1 and "Jobs of balances, transactions, users wait until another worker runs" in said
    assert "there is no terminal to ask at" in said and is_in(stack, other, WorkerState.WORKING)
    code, said = await shell(stack, "drain", other, "--yes", "--wait-seconds", "60")
    assert code == 0, said
    waiting = await telegram.send_text(boris, "/balance")
    assert json.loads((await shell(stack, "list", "--json"))[1])
    await asyncio.sleep(2)
    assert not stack.is_idle(), "it waits for a worker"
    # Started anew, a worker takes jobs again; the other is resumed.
    stack.kill(name)
    stack.run(name, stack.program("main", node=name))
    await telegram.wait_for_message(
        boris, lambda message: "25.00" in message.text, after=waiting.message.revision, timeout_seconds=60
    )
    assert is_in(stack, busy, WorkerState.WORKING)
    code, said = await shell(stack, "resume", other)
    assert (code, said.strip()) == (0, f"{other} takes jobs again within four seconds")
    await all_settled(stack, telegram)
    booked = stack.query(
        "SELECT action, target, reason FROM admin_actions WHERE action LIKE 'worker.%' ORDER BY id"
    )
    assert booked == [
        ("worker.drain", busy, "new disk"),
        ("worker.drain_last", other, None),
        ("worker.resume", other, None),
    ]
    assert_audit_passes(stack)


async def test_a_worker_that_hangs_or_dies_while_it_drains_is_told_apart_and_its_jobs_are_done_by_others(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack()
    stack.start("frontend", "main", "light")
    stack.run("other", stack.program("main", node="other"))
    stack.wait_ready(processes=5)
    (alice,) = await register(telegram, "Alice", credit="20")
    await all_settled(stack, telegram)

    stack.send_signal("main", signal.SIGSTOP)
    code, said = await shell(stack, "drain", MAIN, "--wait-seconds", "30")
    assert code == 1 and "silent" in said and "has not answered" in said
    stack.send_signal("main", signal.SIGCONT)
    await until(stack, MAIN, WorkerState.DRAINED)

    # Killed with a job in a child's hands, whose answer Telegram is slow to take.
    await telegram.add_fault("latency", methods=["sendMessage"], chat_id=alice, seconds=SLOW_SECONDS, count=1)
    await telegram.send_text(alice, "/balance")
    await asyncio.to_thread(stack.wait_until, lambda: bool(workers(stack)[OTHER].jobs), "it is begun")
    processes = Inbox(stack.redis).processes()
    worker_drains.drain(stack.redis, OTHER, "nadia", processes, even_last=True)
    children = psutil.Process(stack.pid("other")).children()
    stack.kill("other")
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    await until(stack, OTHER, WorkerState.GONE)
    assert not stack.is_idle()
    code, said = await shell(stack, "resume", MAIN)
    assert code == 0, said
    await all_settled(stack, telegram)
    assert "20.00" in (await say(telegram, alice, "/balance")).text
    code, said = await shell(stack, "resume", OTHER)
    assert code == 0 and OTHER not in workers(stack)
    assert_audit_passes(stack)
