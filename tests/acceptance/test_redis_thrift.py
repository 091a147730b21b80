"""A Redis of a small plan, or one that is paid per command: an idle Ballast takes few connections and asks little."""

from __future__ import annotations

import asyncio

import pytest

from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack

CONNECTIONS_MAX = 40
MEASURED_SECONDS = 20
MINUTES_WAITED_MAX = 4


@pytest.mark.parametrize(("mode", "commands_per_second_max"), [("responsive", 75), ("thrifty", 5)])
async def test_an_idle_stack_asks_redis_little(
    make_stack: MakeStack,
    telegram: TelegramControl,
    tmp_path_factory: pytest.TempPathFactory,
    mode: str,
    commands_per_second_max: int,
) -> None:
    server = EmbeddedRedis(tmp_path_factory.mktemp("thrift") / "redis", free_port())
    server.start()
    stack = make_stack(
        redis_url=server.url,
        REDIS_MODE=mode,
        FLOWER_PORT=str(free_port()),
        FLOWER_BASIC_AUTH="admin:idle",
    )
    counted: list[tuple[float, int]] = []  # Redis's time, and its commands by then

    def is_quiet() -> bool:
        """Over the last MEASURED_SECONDS; what it took to start is over some time."""
        seconds, _ = stack.redis.time()
        counted.append((seconds, stack.redis.info("stats")["total_commands_processed"]))
        before = [commands for at, commands in counted if seconds - at >= MEASURED_SECONDS]
        ours = sum(seconds - at < MEASURED_SECONDS for at, _ in counted)
        spent = counted[-1][1] - before[-1] - 2 * ours if before else None
        return spent is not None and spent <= commands_per_second_max * MEASURED_SECONDS

    try:
        stack.start("frontend", "main", "bulk", "light", "beat", "flower")
        stack.wait_ready(processes=4)
        await asyncio.to_thread(
            stack.wait_until,
            is_quiet,
            f"fewer than {commands_per_second_max} commands per second",
            60 * MINUTES_WAITED_MAX,
        )
        ours = str(stack.redis.client_id())
        theirs = [client for client in stack.redis.client_list() if client["id"] != ours]
        assert len(theirs) <= CONNECTIONS_MAX
    finally:
        stack.stop_all()
        server.kill()
