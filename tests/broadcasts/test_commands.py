"""Broadcasts from outside: the command line, and Celery's own `call`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ballast.broadcasts import card
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from devstack.ports import free_port
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, received


async def test_the_command_starts_one_and_shows_how_far_it_is(
    cluster: Broadcasting, telegram: TelegramControl, tmp_path: Path
) -> None:
    people = cluster.register(40_000, len(await telegram.create_users(30, first_id=40_000)))
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(map(str, people)))
    arguments = (
        "broadcast",
        "start",
        "--text",
        "<i>News</i>",
        "--ids-file",
        str(ids),
        "--key",
        "news-1",
        "--yes",
    )
    started = await asyncio.to_thread(cluster.stack.command, "workers", *arguments)
    assert started.returncode == 0, started.stderr
    assert "100%  30 of 30  sent 30, blocked 0, failed 0, unknown 0  finished" in started.stdout
    again = await asyncio.to_thread(cluster.stack.command, "workers", *arguments)
    assert again.returncode == 0, again.stderr
    assert set((await received(telegram, people)).values()) == {1}
    (number,) = {
        line.split()[1] for line in (started.stdout + again.stdout).splitlines() if line.startswith("broad")
    }
    listed = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", "list")
    assert "<i>News</i>" in listed.stdout
    shown = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", "show", number)
    assert json.loads(shown.stdout)["status"] == "finished"
    refused = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", "pause", number)
    assert refused.returncode == 1
    assert refused.stderr.strip() == f"ballast: broadcast {number} is finished: pause does nothing to it"


async def test_a_scheduled_one_is_paused_resumed_and_cancelled_by_command(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    options = ("--at", "2999-01-01T00:00:00+00:00", "--quiet", "22:00-08:00", "--zone", "Europe/Berlin")
    started = await asyncio.to_thread(
        cluster.stack.command,
        "workers",
        "broadcast",
        "start",
        "--text",
        "later",
        "--active-days",
        "5",
        "--yes",
        *options,
    )
    assert started.stdout.endswith("scheduled for 2999-01-01 00:00 UTC\n"), started.stderr
    assert "To:     seen within 5 days; that is " in started.stdout
    assert "When:   2999-01-01T00:00:00+00:00\nQuiet:  22:00-08:00 Europe/Berlin\n" in started.stdout
    (number,) = (line.split()[1] for line in started.stdout.splitlines() if line.startswith("broadcast "))
    for order, status in (("pause", "paused"), ("resume", "scheduled"), ("cancel", "cancelled")):
        told = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", order, number)
        assert told.stdout == f"broadcast {number} is {status}\n", told.stderr


async def test_what_makes_no_sense_is_refused_in_one_line(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    for arguments, complaint in (
        (("start", "--text", "a", "--quiet", "22-08"), "quiet_hours.begin: "),
        (
            ("start", "--text", "Hello\n<b>you", "--yes"),
            "expected Telegram's HTML: <b> is never closed (line 2, character 1)",
        ),
        (("start", "--text", "<p>Hello</p>", "--yes"), "<p> is no tag that Telegram knows"),
        (("start", "--text", "Hello"), "there is no terminal to ask at. Add --yes"),
        (("start", "--text", "a", "--ids-file", "/nowhere"), "/nowhere: expected a text to read"),
        (
            ("start", "--text", "a", "--at", "2020-01-01T00:00:00+00:00"),
            "scheduled_for: expected a time to come",
        ),
        (("show", "4711"), "there is no broadcast 4711"),
    ):
        refused = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", *arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith("ballast: ")
        assert complaint in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_what_is_paid_for_tells_its_cost_first_and_is_bounded_by_it(
    cluster: Broadcasting, tmp_path: Path
) -> None:
    people = cluster.register(42_000, 100)
    ids = tmp_path / "ids.txt"
    ids.write_text(" ".join(map(str, people)))
    order = (
        "broadcast",
        "start",
        "--text",
        "dear",
        "--paid",
        "--ids-file",
        str(ids),
        "--key",
        "dear",
        "--detach",
    )
    asked = cluster.stack.command("workers", *order)
    assert asked.returncode == 1
    assert "To:     in a list of 100; that is 100 people now\n" in asked.stdout
    assert "Takes:  about 1 s, at most 10 Stars\n" in asked.stdout
    assert asked.stderr == (
        "ballast: nothing was sent: there is no terminal to ask at. Add --yes to send without a question\n"
    )
    assert broadcasts.find_by_key(cluster.engine, "operator-dear") is None
    later = cluster.stack.command("workers", *order, "--yes", "--at", "2999-01-01T00:00:00+00:00")
    assert "stars_max: expected how many Stars" in later.stderr
    agreed = cluster.stack.command("workers", *order, "--yes")
    assert agreed.returncode == 0, agreed.stderr
    started = broadcasts.find_by_key(cluster.engine, "operator-dear")
    assert started is not None
    assert (started.paid, started.stars_max) == (True, 10)
    cluster.wait_for(started.id, BroadcastStatus.FINISHED)


@pytest.mark.parametrize(
    ("answer", "begun"), [(b"\n", False), (b"n\n", False), (b"\x04", False), (b"y\n", True)]
)
def test_a_start_shows_whom_it_reaches_and_what_they_get_and_asks(
    cluster: Broadcasting, answer: bytes, begun: bool
) -> None:
    people = cluster.register(44_000 + 10 * len(answer) + answer[0], 2)
    key = f"asked-{answer[0]}-{len(answer)}"
    ours, theirs = pty.openpty()
    command = ("broadcast", "start", "--text", "<b>Sale</b> &amp; more", "--key", key, "--detach", "--ids")
    starting = subprocess.Popen(
        [sys.executable, "-m", "workers", *command, *map(str, people)],
        env=cluster.stack.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while b"[y/N] " not in seen:
        seen += os.read(ours, 4096)
    assert b"in a list of 2; that is 2 people now" in seen
    assert b"Text:   11 characters, without tags:" in seen
    assert b"    Sale & more" in seen
    assert b"    <b>Sale</b> &amp; more" in seen
    assert broadcasts.find_by_key(cluster.engine, f"operator-{key}") is None
    os.write(ours, answer)
    assert starting.wait(60) == (0 if begun else 1)
    os.close(ours)
    assert (broadcasts.find_by_key(cluster.engine, f"operator-{key}") is not None) is begun


async def test_a_halt_says_why_in_the_shell_and_in_the_chat_and_both_count_alike(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = cluster.register(48_000, len(await telegram.create_users(6, first_id=48_000)))
    await telegram.add_fault("bad_request", methods=["sendMessage"], skip=3, description="Bad Request: no")
    started = await asyncio.to_thread(
        cluster.stack.command,
        "workers",
        *("broadcast", "start", "--text", "half", "--yes", "--key", "half", "--ids", *map(str, people)),
    )
    broadcast = broadcasts.find_by_key(cluster.engine, "operator-half")
    assert broadcast is not None
    assert (broadcast.status, broadcast.sent) == (BroadcastStatus.HALTED, 3)
    listed = await asyncio.to_thread(cluster.stack.command, "workers", "broadcast", "list")
    in_shell = next(line for line in listed.stdout.splitlines() if "half" in line)
    for shown in (started.stdout, in_shell):
        assert "halted: no" in shown.lower().replace("bad request: ", "")
    count = f"{broadcast.done} of 6"
    assert count in in_shell
    assert f"halted · {count}, sent 3" in card.list_text([broadcast])
    broadcasts.cancel(cluster.engine, broadcast.id)


def test_the_bar_fits_the_terminal_so_that_it_is_drawn_over(cluster: Broadcasting) -> None:
    people = cluster.register(43_000, 3)
    now = datetime.now(UTC)
    begin, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (-1, 2))
    made = broadcasts.create(
        cluster.engine,
        key="bar",
        payload={"text": "x"},
        segment={"telegram_ids": list(people)},
        actor="test",
        quiet_hours={"begin": begin, "end": end, "zone": "UTC"},  # so that it stays as it is
    )
    broadcasts.begin(cluster.engine, made.id)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    watching = subprocess.Popen(
        [sys.executable, "-m", "workers", "broadcast", "show", str(made.id), "--watch"],
        env=cluster.stack.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while seen.count(b"\r\x1b[K") < 3:
        seen += os.read(ours, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 0
    drawn = seen.decode().split("\r\x1b[K")[1:3]
    assert all(line.startswith("░░░") and "0 of 3  sent 0" in line and len(line) < 60 for line in drawn), (
        drawn
    )
    os.close(ours)
    broadcasts.cancel(cluster.engine, made.id)


def test_without_redis_an_order_says_that_it_may_stand(cluster: Broadcasting, tmp_path: Path) -> None:
    away = Stack(
        tmp_path,
        database_url=cluster.servers.postgres.url,
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        telegram_url=cluster.servers.telegram.url,
    )
    ordered = away.command(
        "workers", "broadcast", "start", "--text", "stands", "--key", "stands", "--detach", "--yes"
    )
    assert ordered.returncode == 2
    assert "Redis does not answer" in ordered.stderr
    assert "may stand all the same" in ordered.stderr
    assert "stands" in away.command("workers", "broadcast", "list").stdout


async def test_celery_s_own_call_starts_one_once(cluster: Broadcasting, telegram: TelegramControl) -> None:
    people = cluster.register(41_000, len(await telegram.create_users(5, first_id=41_000)))
    fields = {"text": "by call", "segment": {"telegram_ids": list(people)}, "idempotency_key": "by-call"}
    for _ in range(2):
        called = await asyncio.to_thread(
            cluster.stack.command,
            "celery",
            *("-A", "workers", "call", "workers.broadcasts.start", "--kwargs", json.dumps(fields)),
        )
        assert called.returncode == 0, called.stderr

    def over() -> bool:
        broadcast = broadcasts.find_by_key(cluster.engine, "operator-by-call")
        return broadcast is not None and broadcast.status is BroadcastStatus.FINISHED

    await asyncio.to_thread(cluster.stack.wait_until, over, "it is finished")
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    assert await received(telegram, people) == dict.fromkeys(people, 1)
    wrong: dict[str, Any] = {"text": "a", "segment": {"activ_days": 5}}
    past = {"text": "a", "scheduled_for": "2020-01-01T00:00:00+00:00"}
    unbounded = {"text": "a", "paid": True}
    for refused in (wrong, past, unbounded):
        await asyncio.to_thread(
            cluster.stack.command,
            "celery",
            *("-A", "workers", "call", "workers.broadcasts.start", "--kwargs", json.dumps(refused)),
        )
    for complaint in (
        "%segment.activ_days: Extra%",
        "%scheduled_for: expected a time to come%",
        "%stars_max: expected how%",
    ):
        await asyncio.to_thread(
            cluster.stack.wait_until,
            partial(is_a_dead_letter, cluster, complaint),
            "the refusal is a dead letter",
        )


@pytest.mark.parametrize(
    ("order", "first_id", "ends"),
    [
        ("pause", 45_000, BroadcastStatus.PAUSED),
        ("resume", 46_000, BroadcastStatus.FINISHED),
        ("cancel", 47_000, BroadcastStatus.CANCELLED),
    ],
)
async def test_celery_s_own_call_pauses_resumes_and_cancels(
    cluster: Broadcasting, telegram: TelegramControl, order: str, first_id: int, ends: BroadcastStatus
) -> None:
    people = cluster.register(first_id, len(await telegram.create_users(5, first_id=first_id)))
    made = broadcasts.create(
        cluster.engine,
        key=f"for-{order}",
        payload={"text": "by call"},
        segment={"telegram_ids": list(people)},
        actor="test",
        scheduled_for=datetime.now(UTC) + timedelta(days=1),
    )
    if order == "resume":
        broadcasts.begin(cluster.engine, made.id)
        broadcasts.pause(cluster.engine, made.id)
    called = await asyncio.to_thread(
        cluster.stack.command,
        "celery",
        *("-A", "workers", "call", f"workers.broadcasts.{order}"),
        *("--kwargs", json.dumps({"broadcast_id": made.id})),
    )
    assert called.returncode == 0, called.stderr
    await asyncio.to_thread(cluster.wait_for, made.id, ends)
    assert sum((await received(telegram, people)).values()) == (5 if order == "resume" else 0)


def is_a_dead_letter(cluster: Broadcasting, like: str) -> bool:
    return bool(cluster.stack.query("SELECT 1 FROM failed_operations WHERE error LIKE %s", like))
