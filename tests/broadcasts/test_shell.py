"""`ballast broadcast start` with all that the page asks: by flags, and question by question at a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys

from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, received


async def test_flags_try_it_out_and_wait_for_a_canary_and_compare_two_texts(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    people = cluster.register(60_000, len(await telegram.create_users(40, first_id=60_000)))
    await telegram.send_text(ADMIN_ID, "/help")  # a bot writes first to nobody
    command = (
        *(
            "broadcast",
            "start",
            "--text",
            "<b>One</b>",
            "--other",
            "Two",
            "--button",
            "Look | https://example.org",
        ),
        *("--sql", f"SELECT n FROM generate_series({people.start}, {people.stop - 1}) AS n"),
        *(
            "--canary-percent",
            "10",
            "--canary-then",
            "wait",
            "--try",
            str(ADMIN_ID),
            "--key",
            "shell-1",
            "--yes",
        ),
    )
    started = await asyncio.to_thread(cluster.stack.command, "ballast", *command)
    assert started.returncode == 0, started.stdout + started.stderr
    for said in (
        "in the list of a query; that is 40 people now",
        "First:  10 %; then wait for `resume`",
        "Other:  3",
    ):
        assert said in started.stdout
    made = broadcasts.find_by_key(cluster.engine, "shell-1")
    assert made is not None
    await asyncio.to_thread(cluster.wait_for, made.id, BroadcastStatus.HALTED)
    assert sum((await received(telegram, people)).values()) == 4
    tried = [message.text for message in await telegram.messages(ADMIN_ID, from_bot=True)]
    assert {"One", "Two"} <= set(tried)
    resumed = await asyncio.to_thread(cluster.stack.command, "ballast", "broadcast", "resume", str(made.id))
    assert resumed.returncode == 0, resumed.stderr
    await asyncio.to_thread(cluster.wait_for, made.id, BroadcastStatus.FINISHED)
    assert set((await received(telegram, people)).values()) == {1}
    compared = await asyncio.to_thread(cluster.stack.command, "ballast", "broadcast", "compare", str(made.id))
    first, second = compared.stdout.splitlines()
    assert first.startswith("a  <b>One</b>") and second.startswith("b  Two"), compared.stdout
    acts = [action for (action,) in cluster.stack.query("SELECT action FROM admin_actions ORDER BY id")]
    assert acts[-3:] == ["broadcast.test", "broadcast.start", "broadcast.resume"]


def asking(cluster: Broadcasting) -> tuple[int, subprocess.Popen[bytes]]:
    """The command at a terminal, and our end of that."""
    ours, theirs = pty.openpty()
    starting = subprocess.Popen(
        [sys.executable, "-m", "ballast", "broadcast", "start", "--key", "shell-2"],
        env=cluster.stack.env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return ours, starting


async def test_at_a_terminal_it_asks_for_all_that_the_page_asks(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    (person,) = cluster.register(61_000, len(await telegram.create_users(1, first_id=61_000)))
    ours, starting = asking(cluster)
    answers = {
        b"HTML: ": "<i>Asked</i>",
        b"example.org: ": "",
        b"A query for Telegram IDs: ": f"SELECT {person}",
        b"How many get it first [20]: ": "5",
        b"(go, few, wait) [go]: ": "few",
        b"[y/N] ": "y",
    }

    def talk() -> bytes:
        said, answered_to = b"", 0
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # it has ended
                return said
            if said.endswith((b": ", b"[y/N] ")):
                asked = said[answered_to:]
                answer = next((words for end, words in answers.items() if asked.endswith(end)), "")
                os.write(ours, f"{answer}\n".encode())
                answered_to = len(said)

    said = await asyncio.to_thread(talk)
    assert await asyncio.to_thread(starting.wait, 60) == 0, said.decode()
    os.close(ours)
    assert b"First:  5; then go on if at most 5 % failed" in said
    made = broadcasts.find_by_key(cluster.engine, "shell-2")
    assert made is not None and made.canary_rule == {"failures_max": 5.0}
    await asyncio.to_thread(cluster.wait_for, made.id, BroadcastStatus.FINISHED)
    assert (await telegram.wait_for_message(person)).text == "Asked"
