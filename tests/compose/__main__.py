"""`make compose-test`: the fleet of docker-compose.yml on a Docker engine, its containers killed, cut off and restarted
under load, then audited. Ends with status 1 where something was lost or done twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.ports import free_port
from devstack.stack import ADMIN_ID, ROOT
from devstack.telegram.control import TelegramControl
from tests.harness.people import say

PROJECT = "ballast-compose-test"
WORKERS = 3
PROCESSES = 2 * WORKERS + 2
UNCHECKED = {"role", "migrate", "telegram"}
CREDITS_A_STORM = 10
UNANSWERED_MAX = 100
"""On a host that is too busy: past 200 that wait, a user's commands are refused."""
FILES = (ROOT / "docker-compose.yml", ROOT / "tests/compose/telegram.yml")


class Fleet:
    """Compose on the project, docker on its containers, and what these say and hold."""

    def __init__(self, env_file: Path, options: dict[str, str]) -> None:
        self._command = [*compose_command(), "-p", PROJECT, "--project-directory", str(ROOT)]
        for path in FILES:
            self._command += ["-f", str(path)]
        self._command += ["--env-file", str(env_file)]
        self._options = options

    def compose(self, *arguments: str) -> str:
        return run(*self._command, *arguments)

    def containers(self, *services: str) -> list[str]:
        return self.compose("ps", "-q", *services).split()

    def is_well(self) -> bool:
        """By the health checks of docker-compose.yml, of which each service but the migrations has one."""
        checked = [
            service for service in self.compose("config", "--services").split() if service not in UNCHECKED
        ]
        states = run("docker", "inspect", "--format", "{{.State.Health.Status}}", *self.containers(*checked))
        return set(states.split()) == {"healthy"}

    def page(self, path: str, token: str | None = None) -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return ask(f"http://127.0.0.1:{self._options['OPS_PORT']}{path}", headers)

    def flower(self, path: str, *, signed_in: bool = True) -> tuple[int, Any]:
        auth = "Basic " + b64encode(self._options["FLOWER_BASIC_AUTH"].encode()).decode()
        url = f"http://127.0.0.1:{self._options['FLOWER_PORT']}/api{path}"
        return ask(url, {"Authorization": auth} if signed_in else {})

    @property
    def ops_token(self) -> str:
        return self._options["OPS_TOKEN"]

    def jobs_on_record(self) -> int:
        command = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli ZCARD ballast:inbox:all'
        return int(self.compose("exec", "-T", "redis", "sh", "-c", command))

    def number(self, query: str) -> int:
        """What a query on the database answers; 0 where it finds no row."""
        command = f'PGPASSWORD="$POSTGRES_PASSWORD" psql -U postgres -d ballast -tAc "{query}"'
        return int(self.compose("exec", "-T", "postgres", "sh", "-c", command).strip() or 0)

    def balance(self, telegram_id: int) -> int:
        return self.number(
            "SELECT a.balance FROM accounts a JOIN users u ON u.id = a.user_id "
            f"WHERE u.telegram_id = {telegram_id}"
        )


def compose_command() -> list[str]:
    """Compose is a plugin of docker, or, where that is older, a program of its own."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PWD": str(ROOT)}
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def ask(url: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Status and JSON; status 0 where nobody answers, as while a container starts again."""
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  our own http addresses
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, ValueError):
        return 0, None


@contextmanager
def fleet_up(simulator_port: int) -> Iterator[Fleet]:
    """Up while the block runs; nothing of it is left after. compose.env is made for it, and must not be there."""
    env_file = ROOT / "compose.env"
    options = {
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "POSTGRES_ADMIN_PASSWORD": secrets.token_hex(16),
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
    fleet = Fleet(env_file, options)
    try:
        yield fleet
    finally:
        try:
            fleet.compose("down", "--volumes", "--timeout", "5")
        finally:
            env_file.unlink()


async def storm(
    telegram: TelegramControl, user_id: int, name: str, harm: Callable[[], object], pressed: set[int]
) -> int:
    """Credits go on coming in, and are confirmed, while harm is done. Returns how many."""
    doing = asyncio.create_task(asyncio.to_thread(harm))
    sent = 0
    while sent < CREDITS_A_STORM or not doing.done():
        if await unanswered(telegram) < UNANSWERED_MAX:
            await telegram.send_text(ADMIN_ID, f"/credit {user_id} 1 {name}")
            sent += 1
        await confirm_all(telegram, pressed)
        await asyncio.sleep(1)  # nobody is answered faster than that
    await doing
    print(f"{name}: {sent} credits came in meanwhile", flush=True)
    return sent


async def confirm_all(telegram: TelegramControl, pressed: set[int]) -> int:
    """Press Confirm under each card of the admin that was not pressed yet. Returns how many cards there were so far."""
    for message in await telegram.messages(ADMIN_ID, from_bot=True):
        if "Balance after" in message.text and message.buttons and message.message_id not in pressed:
            await telegram.press_button(ADMIN_ID, message, "Confirm")
            pressed.add(message.message_id)
    return len(pressed)


async def unanswered(telegram: TelegramControl) -> int:
    """Commands of the admin that wait; one that is told to wait counts as answered."""
    messages = await telegram.messages(ADMIN_ID)
    return sum(-1 if message.from_bot else 1 for message in messages)


async def confirmed(telegram: TelegramControl, pressed: set[int], credits: int) -> bool:
    return await confirm_all(telegram, pressed) >= credits


async def until_async(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(720):
        if await condition():
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"not within six minutes: {what}")


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(720):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"not within six minutes: {what}")


async def main_job(telegram: TelegramControl) -> int:
    """Register, credit, send and confirm. Returns who has got 4.00."""
    people = [await telegram.create_user(name, username=name.lower()) for name in ("Alice", "Boris")]
    alice, boris = (person.id for person in people)
    for person in (ADMIN_ID, alice, boris):
        print((await say(telegram, person, "/start")).text.splitlines()[0], flush=True)
    card = await say(telegram, ADMIN_ID, f"/credit {alice} 20")
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    await telegram.wait_for_message(ADMIN_ID, lambda message: "Credited 20.00" in message.text)
    await telegram.wait_for_message(alice, lambda message: "20.00" in message.text)
    question = await say(telegram, alice, "/send @boris 4")
    await telegram.press_button(alice, question, "Confirm")
    await telegram.wait_for_message(boris, lambda message: "sent you 4.00" in message.text)
    return boris


def harms(fleet: Fleet) -> list[tuple[str, Callable[[], object]]]:
    killed, cut_off, *_ = fleet.containers("worker")
    networks = [f"{PROJECT}_{name}" for name in ("database", "queue", "outside")]

    def kill() -> None:
        run("docker", "kill", killed)
        run("sleep", "8")
        run("docker", "start", killed)  # its restart policy does not do it after docker's own kill

    def cut() -> None:
        for network in networks:
            run("docker", "network", "disconnect", network, cut_off)
        run("sleep", "8")
        for network in networks:
            run("docker", "network", "connect", network, cut_off)

    def one_by_one() -> None:
        for container in fleet.containers(
            "worker", "worker-light", "worker-bulk", "beat", "beat-second", "frontend", "flower"
        ):
            run("docker", "restart", container)

    return [
        ("a worker killed", kill),
        ("a worker cut off", cut),
        ("the fleet restarted one by one", one_by_one),
        ("redis restarted", lambda: fleet.compose("restart", "redis")),
        ("postgres restarted", lambda: fleet.compose("restart", "postgres")),
    ]


async def look_at_pages(fleet: Fleet) -> None:
    """What an operator sees of it once it is well again, and that nobody else sees the details."""

    def pages_are_well() -> bool:
        _, health = fleet.page("/health")
        _, database = fleet.page("/db-status", fleet.ops_token)
        _, stability = fleet.page("/db-stability", fleet.ops_token)
        if health is None or database is None or stability is None:
            return False
        seen = (
            health["status"],
            health["workers"]["alive"],
            database["state"],
            stability["breaker"]["state"],
        )
        return seen == ("ok", PROCESSES, "ok", "closed")

    def flower_sees_all() -> bool:
        _, workers = fleet.flower("/workers?refresh=1")
        return workers is not None and len(workers) == WORKERS + 2

    await until(pages_are_well, f"the pages say that all is well, with {PROCESSES} processes")
    await until(flower_sees_all, "Flower sees all workers")
    for path in ("/db-status", "/db-stability", "/metrics"):
        assert fleet.page(path)[0] == 401, path
    assert fleet.flower("/workers", signed_in=False)[0] == 401
    print(f"The pages: ok, {PROCESSES} worker processes; Flower: {WORKERS + 2} workers", flush=True)


def restore_beside(fleet: Fleet) -> None:
    """The drill of docs/backups.md: a backup that proves itself, and a restore of it beside the database."""
    ballast = ("run", "--rm", "--no-deps", "-T", "worker-light", "python", "-m", "ballast")
    fleet.compose(*ballast, "backup", "--to", "/backups")
    said = fleet.compose(*ballast, "restore", "latest", "--check", "--to", "/backups")
    print(
        f"A backup, restored beside: {said.splitlines()[-1].removeprefix('proven    restored, ')}", flush=True
    )


async def play(fleet: Fleet, port: int) -> None:
    async with TelegramControl(f"http://127.0.0.1:{port}") as telegram:
        boris = await main_job(telegram)
        credits, pressed = 0, set[int]()
        for name, harm in harms(fleet):
            credits += await storm(telegram, boris, name, harm, pressed)
        # What is answered after its storm is confirmed after all of them.
        await until_async(lambda: confirmed(telegram, pressed, credits), "every card is there, and confirmed")

        await telegram.wait_until_acknowledged(timeout_seconds=120)
        await until(lambda: fleet.jobs_on_record() == 0, "no job is on record any more")
        found, expected = fleet.balance(boris), 400 + 100 * credits
        assert found == expected, f"Boris has {found}, not {expected}"
        print(f"Boris has {found / 100:.2f}: 4.00, and {credits} credits of 1.00, each once", flush=True)
        told = sum(
            "credited 1.00" in message.text for message in await telegram.messages(boris, from_bot=True)
        )
        assert told >= credits, f"Boris was told of {told} of {credits} credits"
        print(f"Boris was told of {credits} credits, and of {told - credits} once more", flush=True)
        letters = fleet.number("SELECT count(*) FROM failed_operations")
        assert letters == 0, f"{letters} dead letters"
        print(fleet.compose("run", "--rm", "-T", "migrate", "python", "-m", "dbcore", "audit"), flush=True)
        await look_at_pages(fleet)
        await asyncio.to_thread(restore_beside, fleet)
        await until(fleet.is_well, "every health check passes")
        print("every health check passes", flush=True)


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
