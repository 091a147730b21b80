"""`make compose-test`: the fleet of docker-compose.yml on a Docker engine, its containers killed, cut off and restarted
under load, then audited. Ends with status 1 where something was lost or done twice.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.ports import free_port
from devstack.stack import ADMIN_ID, ROOT
from devstack.telegram.control import TelegramControl
from tests.acceptance.people import say

PROJECT = "ballast-compose-test"
WORKERS = 3
CREDITS_A_STORM = 10
FILES = (ROOT / "docker-compose.yml", ROOT / "tests/compose/telegram.yml")


class Fleet:
    """docker-compose on the project, and docker on its containers."""

    def __init__(self, env_file: Path) -> None:
        self._command = ["docker-compose", "-p", PROJECT, "--project-directory", str(ROOT)]
        for path in FILES:
            self._command += ["-f", str(path)]
        self._command += ["--env-file", str(env_file)]

    def compose(self, *arguments: str) -> str:
        return run(*self._command, *arguments)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()


def run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PWD": str(ROOT)}
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def fleet_up(simulator_port: int) -> Iterator[Fleet]:
    """Up while the block runs; nothing of it is left after. compose.env is made for it, and must not be there."""
    env_file = ROOT / "compose.env"
    options = {
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "OPS_TOKEN": secrets.token_hex(16),
        "FLOWER_BASIC_AUTH": f"ops:{secrets.token_hex(16)}",
        "FLOWER_COOKIE_SECRET": secrets.token_hex(16),
        "TELEGRAM_BOT_TOKEN": "123456:LOCAL",
        "TELEGRAM_API_URL": "http://telegram:8081",
        "ADMIN_IDS": str(ADMIN_ID),
        "OPS_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "SIMULATOR_PORT": str(simulator_port),
    }
    with env_file.open("x") as out:
        out.writelines(f"{name}={value}\n" for name, value in options.items())
    fleet = Fleet(env_file)
    try:
        yield fleet
    finally:
        try:
            fleet.compose("down", "--volumes", "--timeout", "5")
        finally:
            env_file.unlink()


async def storm(telegram: TelegramControl, user_id: int, name: str, harm: Callable[[], object]) -> int:
    """Credits go on coming in while harm is done. Returns how many."""
    doing = asyncio.create_task(asyncio.to_thread(harm))
    sent = 0
    while sent < CREDITS_A_STORM or not doing.done():
        await telegram.send_text(ADMIN_ID, f"/credit {user_id} 1 {name}")
        sent += 1
        await asyncio.sleep(0.5)
    await doing
    print(f"{name}: {sent} credits came in meanwhile", flush=True)
    return sent


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(240):
        if await condition():
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"not within two minutes: {what}")


async def play(fleet: Fleet, port: int) -> None:
    async with TelegramControl(f"http://127.0.0.1:{port}") as telegram:
        people = [await telegram.create_user(name, username=name.lower()) for name in ("Alice", "Boris")]
        alice, boris = (person.id for person in people)
        for person in (ADMIN_ID, alice, boris):
            print((await say(telegram, person, "/start")).text.splitlines()[0], flush=True)
        await say(telegram, ADMIN_ID, f"/credit {alice} 20")
        await telegram.wait_for_message(alice, lambda message: "20.00" in message.text)
        question = await say(telegram, alice, "/send @boris 4")
        await telegram.press_button(alice, question, "Confirm")
        await telegram.wait_for_message(boris, lambda message: "sent you 4.00" in message.text)

        credits = 0
        victim, cut, *_ = fleet.containers("worker")
        network = f"{PROJECT}_default"

        def cut_off() -> None:
            run("docker", "network", "disconnect", network, cut)
            run("sleep", "8")
            run("docker", "network", "connect", network, cut)

        def one_by_one() -> None:
            for service in ("worker", "worker-light", "worker-bulk", "beat", "frontend"):
                for container in fleet.containers(service):
                    run("docker", "restart", container)

        for name, harm in (
            ("a worker killed", lambda: run("docker", "kill", victim)),
            ("a worker cut off", cut_off),
            ("the fleet restarted one by one", one_by_one),
            ("redis restarted", lambda: fleet.compose("restart", "redis")),
            ("postgres restarted", lambda: fleet.compose("restart", "postgres")),
        ):
            credits += await storm(telegram, boris, name, harm)

        await telegram.wait_until_acknowledged(timeout_seconds=120)
        expected = 400 + 100 * credits

        async def settled() -> bool:
            return await asyncio.to_thread(balance_of, fleet, boris) >= expected

        await until(settled, f"Boris has {expected}")
        found = balance_of(fleet, boris)
        assert found == expected, f"Boris has {found}, not {expected}: something happened twice"
        print(f"Boris has {found / 100:.2f}: 4.00, and {credits} credits of 1.00, each once", flush=True)
        print(fleet.compose("run", "--rm", "-T", "migrate", "python", "-m", "dbcore", "audit"), flush=True)


def balance_of(fleet: Fleet, telegram_id: int) -> int:
    query = (
        "SELECT a.balance FROM accounts a JOIN users u ON u.id = a.user_id "
        f"WHERE u.telegram_id = {telegram_id}"
    )
    shell = f'PGPASSWORD=$POSTGRES_PASSWORD psql -U ballast -tAc "{query}"'
    return int(fleet.compose("exec", "-T", "postgres", "sh", "-c", shell) or 0)


def main() -> int:
    port = free_port()
    with fleet_up(port) as fleet:
        try:
            fleet.compose("up", "-d", "--no-build", "--scale", f"worker={WORKERS}")
            print(fleet.compose("ps"), flush=True)
            asyncio.run(play(fleet, port))
        except Exception:
            print(fleet.compose("logs", "--tail", "30"), file=sys.stderr)
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
