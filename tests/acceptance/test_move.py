"""The database moves to another server while people go on: nothing is lost or done twice. The pauses are printed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg2
import pytest

from ballast.cli.audit_text import report
from dbcore.ledger.audit import audit
from dbcore.moving import record, whereabouts
from dbcore.moving.record import MoveState
from devstack.postgres import ROLE, EmbeddedPostgres, query
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.bots_database import run_as_admin
from tests.harness.people import all_settled, answers, ask_credits, confirm, last_known, register
from tests.harness.servers import running_postgres, set_options
from tests.harness.worker_deaths import frozen

MOVE_SECONDS_MAX = 180
CREDITS = 90
WORKERS_STOPPED = 3
"""One was frozen and two were killed."""
KEPT = 10
"""Of the cards, for what is to be seen after each move."""
THIRD, FOURTH = "third", "fourth"


@pytest.fixture
def old(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder) as server:
        yield server


@pytest.fixture
def new(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder, migrated=False) as server:
        yield server


async def begin_move(stack: Stack, to: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "ballast", "move", to, "--yes", *arguments),
        env=stack.env,
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def said_by(process: asyncio.subprocess.Process) -> str:
    said, _ = await asyncio.wait_for(process.communicate(), MOVE_SECONDS_MAX)
    print(said.decode())
    assert process.returncode == 0, said.decode()
    return said.decode()


async def wait_until_held(stack: Stack, process: asyncio.subprocess.Process) -> None:
    """By this move: what a killed one left does not count."""
    before = record.read(stack.redis)

    def is_held() -> bool:
        move = record.read(stack.redis)
        return move is not None and move != before and move.state is MoveState.HOLDING

    await asyncio.to_thread(
        stack.wait_until, lambda: is_held() or process.returncode is not None, "nobody writes"
    )
    assert process.returncode is None, (await process.communicate())[0].decode()


@asynccontextmanager
async def confirming(telegram: TelegramControl, cards: list[SeenMessage]) -> AsyncIterator[None]:
    """The admin presses Confirm on one card after the other; each that is begun with is taken off the list."""
    stopped = asyncio.Event()

    async def press() -> None:
        while len(cards) > KEPT and not stopped.is_set():
            await confirm(telegram, cards.pop())
            await asyncio.sleep(0.25)

    presses = asyncio.create_task(press())
    try:
        yield
    finally:
        stopped.set()
        await presses


async def one_more(stack: Stack, telegram: TelegramControl, cards: list[SeenMessage], url: str) -> None:
    """A credit that is confirmed now is booked in the database at `url`."""
    before = booked(url)
    await confirm(telegram, cards.pop())
    await asyncio.to_thread(stack.wait_until, lambda: booked(url) > before, "it is booked there")


def processes_with_old_url(stack: Stack) -> int:
    move = stack.get("/db-status")[1]["move"]
    assert move["state"] == MoveState.SWITCHED
    return int(move["processes_with_old_url"])


def assert_books_balance(url: str) -> None:
    with whereabouts.as_given():
        findings = audit(url)
    assert all(finding.ok for finding in findings), report(findings)


def booked(url: str) -> int:
    return int(
        query(url, "SELECT count(*) FROM transfers WHERE kind = 'credit' AND status = 'applied'")[0][0]
    )


@pytest.mark.timeout(600)
async def test_all_go_on_at_the_new_server_and_nothing_is_lost_or_done_twice(
    make_stack: MakeStack,
    old: EmbeddedPostgres,
    new: EmbeddedPostgres,
    telegram: TelegramControl,
    tmp_path: Path,
) -> None:
    # For the second move: the new server can be replicated from, and the old one has a third database.
    run_as_admin(new, "postgres", f"CREATE DATABASE {FOURTH} OWNER {ROLE}")
    run_as_admin(new, "postgres", f"ALTER ROLE {ROLE} REPLICATION")
    set_options(new, {"wal_level": "logical"})
    run_as_admin(
        old, "postgres", f"CREATE DATABASE {THIRD} OWNER {ROLE}", f"GRANT pg_create_subscription TO {ROLE}"
    )
    third = old.url_of(THIRD)

    stack = make_stack(database_url=old.url, BACKUP_TO=str(tmp_path / "kept"))
    stack.start("frontend", "main", "light")
    stack.run("second", stack.program("main", node="second"))
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    cards = await ask_credits(telegram, CREDITS)

    # Killed in the middle: the old database goes on.
    async with confirming(telegram, cards):
        process = await begin_move(stack, new.url, "--method", "dump")
        await wait_until_held(stack, process)
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        await one_more(stack, telegram, cards, old.url)

        # Again, by a dump; and a worker sleeps through it.
        process = await begin_move(stack, new.url, "--method", "dump")
        await wait_until_held(stack, process)
        with frozen(stack, "second"):
            said = await said_by(process)
        assert "Now set DATABASE_URL" in said
        assert "silent" not in said
        await one_more(stack, telegram, cards, new.url)
    assert_books_balance(old.url)
    left_behind = booked(old.url)
    with (
        pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="this database was moved to"),
        psycopg2.connect(old.url, options="-c default_transaction_read_only=off") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE users SET first_name = 'Mallory'")

    # Started again with the old address, and Redis knows nothing of the move.
    stack.kill("second")
    stack.kill("main")
    stack.redis.delete(record.KEY)
    stack.start("main")
    stack.wait_ready(processes=3)
    await one_more(stack, telegram, cards, new.url)

    # Once more, by logical replication.
    stack.env["DATABASE_URL"] = new.url
    async with confirming(telegram, cards):
        said = await said_by(await begin_move(stack, third, "--method", "replication"))
        await one_more(stack, telegram, cards, third)
    assert query(new.url, "SELECT count(*) FROM pg_replication_slots") == [(0,)]
    while cards:
        await confirm(telegram, cards.pop())
    await all_settled(stack, telegram)

    assert booked(third) == CREDITS
    assert query(third, "SELECT a.balance FROM accounts a JOIN users u ON u.id = a.user_id WHERE telegram_id = %s",
                 alice) == [(100 * CREDITS,)]  # fmt: skip
    told = [text for text in await answers(telegram, alice) if "You were credited" in text]
    assert len(set(told)) == CREDITS, "each with the balance after it"
    assert len(told) <= CREDITS + WORKERS_STOPPED, "an answer that was out and not noted comes again"
    assert booked(old.url) == left_behind
    for url in (old.url, new.url, third):
        assert_books_balance(url)

    # It is said that settings are to be changed. A backup finds its way as the processes do.
    await asyncio.to_thread(stack.wait_until, lambda: processes_with_old_url(stack) >= 2, "all are counted")
    done = await asyncio.to_thread(stack.command, "ballast", "backup")
    assert done.returncode == 0, done.stdout + done.stderr

    # The server is lost, and only a backup is left.
    stack.env["DATABASE_URL"] = third
    (late,) = await ask_credits(telegram, 1)
    await confirm(telegram, late)
    await all_settled(stack, telegram)
    assert last_known(stack, alice) == [100 * (CREDITS + 1)]
    old.kill()
    said = await said_by(await begin_move(stack, new.url_of(FOURTH), "--from-backup", "latest"))
    assert f"{alice}: 1 entry; {100 * (CREDITS + 1)} last, {100 * CREDITS} now" in said
    assert booked(new.url_of(FOURTH)) == CREDITS
    (again,) = await ask_credits(telegram, 1)
    await one_more(stack, telegram, [again], new.url_of(FOURTH))
    await all_settled(stack, telegram)
    assert_books_balance(new.url_of(FOURTH))

    # It is back, and closed.
    old.start()
    done = await asyncio.to_thread(stack.command, "ballast", "move", "--close-old")
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        query(third, "DELETE FROM outbox")
