"""A backup is taken while people go on, both servers are destroyed, and what the backup has goes on on new ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbcore.breaker import override
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    ask_credits,
    assert_audit_passes,
    balances,
    confirm,
    pause,
    register,
)
from tests.harness.servers import running_postgres

DONE_BEFORE, WAITING, MEANWHILE = 5, 10, 20


@pytest.fixture
def two_postgres(servers_folder: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    with (
        running_postgres(servers_folder) as first,
        running_postgres(servers_folder, migrated=False) as second,
    ):
        yield first, second


@pytest.fixture
def new_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "new-redis", free_port())
    server.start()
    yield server
    server.stop()


async def run(stack: Stack, *arguments: str) -> str:
    """`ballast …` beside the stack."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ballast",
        *arguments,
        env=stack.env,
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.timeout(600)
async def test_nothing_accepted_before_the_backup_is_lost_and_nothing_is_booked_twice(
    make_stack: MakeStack,
    two_postgres: tuple[EmbeddedPostgres, EmbeddedPostgres],
    own_redis: EmbeddedRedis,
    new_redis: EmbeddedRedis,
    telegram: TelegramControl,
    tmp_path: Path,
) -> None:
    postgres, new_postgres = two_postgres
    kept = {"BACKUP_TO": str(tmp_path / "kept")}
    stack = make_stack(database_url=postgres.url, redis_url=own_redis.url, **kept)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    cards = await ask_credits(telegram, DONE_BEFORE + WAITING + MEANWHILE)
    for card in cards[:DONE_BEFORE]:
        await confirm(telegram, card)
    await all_settled(stack, telegram)

    # These wait in Redis when the backup begins, and are done while it is made.
    await pause(stack)
    for card in cards[DONE_BEFORE : DONE_BEFORE + WAITING]:
        await confirm(telegram, card)
    await telegram.wait_until_acknowledged(timeout_seconds=60)
    backup = asyncio.create_task(run(stack, "backup"))
    await asyncio.to_thread(
        stack.wait_until, lambda: bool(stack.redis.exists("ballast:relay:held")) or backup.done(), "it copies"
    )
    await asyncio.to_thread(override.set_override, stack.redis, "auto", "test")
    for card in cards[DONE_BEFORE + WAITING :]:
        await confirm(telegram, card)
    said = await backup
    assert "34 of 34 checks passed" in said
    await all_settled(stack, telegram)
    booked = balances(stack)[alice]
    assert booked == 100 * len(cards)

    stack.stop_all()
    postgres.kill()
    own_redis.kill()
    new = make_stack(database_url=new_postgres.url, redis_url=new_redis.url, **kept)
    said = await run(new, "restore", "latest")
    assert "jobs are on record again" in said
    new.start("frontend", "main", "light")
    new.wait_ready(processes=3)
    await all_settled(new, telegram)
    restored = balances(new)[alice]
    # Each press is confirmed or not, and books 1.00 once: what was taken before the backup, all of it.
    assert 100 * (DONE_BEFORE + WAITING) <= restored <= booked
    statuses = new.query("SELECT status, count(*) FROM pending_adjustments GROUP BY 1")
    assert dict(statuses)["confirmed"] == restored // 100
    taken_before = new.query(
        "SELECT count(*) FROM pending_adjustments WHERE status = 'confirmed' AND id <= %s",
        DONE_BEFORE + WAITING,
    )
    assert taken_before == [(DONE_BEFORE + WAITING,)]
    assert_audit_passes(new)

    # What came after the backup is not known here: the same press books it now, and once.
    for card in cards:
        ((_, data),) = [button for button in card.buttons if "Confirm" in button[0]]
        assert data is not None
        await telegram.press(ADMIN_ID, card.message_id, data, chat_id=card.chat_id, force=True)
    await all_settled(new, telegram)
    assert balances(new)[alice] == booked
    assert_audit_passes(new)


async def test_a_backup_is_made_by_schedule_and_shown(make_stack: MakeStack, tmp_path: Path) -> None:
    stack = make_stack(BACKUP_TO=str(tmp_path / "kept"), BACKUP_EVERY_HOURS="0.002")
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)

    def is_shown() -> bool:
        return stack.get("/health")[1]["backup"]["proven_age_seconds"] is not None

    await asyncio.to_thread(stack.wait_until, is_shown, "a backup is proven")
    assert stack.get("/health")[1]["backup"]["failed"] is False
    assert list((tmp_path / "kept").glob("ballast-*.tar.json"))
