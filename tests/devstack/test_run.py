"""The whole of `make run`, on ports of its own: up, found, crashed, stopped, killed, and up again with its
data.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from tests.devstack.processes import family, gone, until_all_gone

pytestmark = pytest.mark.timeout(600)

SERVICES = [
    "PostgreSQL",
    "Redis",
    "Telegram",
    "Frontend",
    "Worker",
    "Worker",
    "Worker",
    "Beat",
    "Flower",
    "Logs",
]


class Running:
    """One run command of a test, with what it has printed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack", "run"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def lines_until(self, wanted: str) -> list[str]:
        """The lines up to the one that has `wanted`, which is the last; to the end where none has."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if wanted in line:
                break
        return lines

    def family(self) -> list[psutil.Process]:
        return family(self.process.pid)

    def stop(self) -> list[str]:
        """Ctrl-C, as the terminal sends it; the lines it says then."""
        self.process.send_signal(signal.SIGINT)
        lines = self.lines_until("has stopped")
        assert self.process.wait() == 0
        return lines


CONNECTS_WHEN_IMPORTED = """
import os
import redis
import sqlalchemy
from ballast import App
app = App("shop")
token = os.environ["TELEGRAM_BOT_TOKEN"]
redis.Redis.from_url(os.environ["REDIS_URL"]).ping()
engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"])
with engine.connect():
    pass
"""


@pytest.fixture
def own_ports(bare_environment: dict[str, str]) -> dict[str, str]:
    names = ["OPS_PORT", "FLOWER_PORT", "SIMULATOR_PORT", "BALLAST_POSTGRES_PORT", "BALLAST_REDIS_PORT"]
    return bare_environment | {name: str(free_port()) for name in names}


@pytest.fixture
def runs(open_folder: Path, own_ports: dict[str, str]) -> Iterator[list[Running]]:
    """Runs started by the test; whatever happens to it, none outlives it."""
    started: list[Running] = []
    yield started
    for running in started:
        if running.process.poll() is None:
            processes = running.family()
            running.process.kill()
            until_all_gone(processes)
        if running.process.stdout is not None:
            running.process.stdout.close()
        running.process.wait()


def test_up_found_crashed_stopped_killed_and_up_again(
    runs: list[Running], open_folder: Path, own_ports: dict[str, str]
) -> None:
    (open_folder / "shop.py").write_text(CONNECTS_WHEN_IMPORTED)
    own_ports["BALLAST_APPS"] = "shop"
    first = Running(open_folder, own_ports)
    runs.append(first)
    lines = first.lines_until("Ballast is ready")
    assert lines[0].startswith("Starting Ballast")
    assert lines[3].startswith("Bringing the database"), "\n".join(lines)
    assert [line.split()[0] for line in lines[:-1] if not line.endswith("…")] == SERVICES, "\n".join(lines)
    assert lines[-1] == "Ballast is ready"

    # A second terminal finds it.
    status = subprocess.run(
        [sys.executable, "-m", "dbcore", "status"],
        cwd=open_folder,
        env={name: value for name, value in own_ports.items() if not name.endswith("_PORT")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert status.returncode == 0, status.stderr
    # No password is printed, and nobody comes in without one.
    assert not [line for line in lines if re.search(r"://\S*:\S+@", line)]
    postgres, store = stores(open_folder, own_ports)
    assert postgres.password_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(postgres.url.replace(postgres.login, "ballast:"), passfile="")
    with redis.Redis(port=store.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    health = json.loads(page(f"http://127.0.0.1:{own_ports['OPS_PORT']}/health"))
    assert health["workers"]["alive"] >= 2

    # Flower asks for the password it was given.
    (flower,) = [line for line in lines if line.startswith("Flower")]
    found = re.search(r"(http://\S+)/  \(user (\S+), password (\S+)\)", flower)
    assert found is not None
    root, user, password = found.groups()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        page(f"{root}/api/workers")
    assert page(f"{root}/api/workers", user, password)

    # A second run in the folder is refused, and does no harm.
    second = subprocess.run(
        first.process.args, cwd=open_folder, env=own_ports, capture_output=True, text=True, check=False
    )
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)

    # A worker that is killed takes its pool along, comes back, and it is said.
    (light,) = [process for process in first.family() if is_head_of(process, "light@%h")]
    killed = family(light.pid)
    assert len(killed) > 1
    light.kill()
    until_all_gone(killed)
    assert first.lines_until("worker-light")[-1].startswith("worker-light had ended and was started again")

    # All workers of this folder are killed by one command, and come back too.
    command = [sys.executable, "-m", "devstack", "kill-workers"]
    done = subprocess.run(command, cwd=open_folder, env=own_ports, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[0]) >= 3  # their pools too, as far as they are up
    assert first.lines_until("worker-main")[-1].startswith("worker-main had ended and was started again")

    # Ctrl-C stops all and leaves nothing but the data.
    remember(open_folder, own_ports)
    processes = first.family()
    (line,) = first.stop()
    assert line.endswith("Ballast has stopped")
    assert [process for process in processes if not gone(process)] == []
    assert not (open_folder / ".ballast/running.env").exists()

    # The next start finds the data; killed, it takes everything along.
    third = Running(open_folder, own_ports)
    runs.append(third)
    lines = third.lines_until("Ballast is ready")
    assert lines[-1] == "Ballast is ready"
    assert not [line for line in lines if line.startswith("Bringing the database")]
    assert remembered(open_folder, own_ports) == (1, b"kept")
    processes = third.family()
    third.process.kill()
    killed_at = time.monotonic()
    until_all_gone(processes)
    assert time.monotonic() - killed_at < 30


def test_a_service_that_cannot_start_is_named_with_its_last_words(
    runs: list[Running], open_folder: Path, own_ports: dict[str, str]
) -> None:
    broken = open_folder / "bot_frontend"  # found before ours: the current folder comes first
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "__main__.py").write_text("raise SystemExit('no front door today')\n")
    running = Running(open_folder, own_ports)
    runs.append(running)
    lines = running.lines_until("Ballast has stopped")
    assert running.process.wait() == 1
    assert "frontend could not start:" in lines
    assert "  no front door today" in lines
    assert lines[-2].strip() == "(.ballast/log/frontend.log)"


@pytest.mark.parametrize(
    ("option", "url", "complaint"),
    [
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0", "the Redis of REDIS_URL does not answer: "),
        ("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d", "the migrations failed:"),
    ],
)
def test_a_given_part_that_does_not_answer_is_named(
    option: str, url: str, complaint: str, runs: list[Running], open_folder: Path, own_ports: dict[str, str]
) -> None:
    running = Running(open_folder, own_ports | {option: url, "BALLAST_LOCAL_TELEGRAM": "true"})
    runs.append(running)
    lines = running.lines_until("Ballast has stopped")
    assert running.process.wait() == 1
    assert [line for line in lines if line.startswith(complaint)], "\n".join(lines)
    assert "hunter2" not in "\n".join(lines)


def test_what_is_given_is_not_started(
    runs: list[Running], open_folder: Path, own_ports: dict[str, str], database_url: str, redis_url: str
) -> None:
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "FLOWER_BASIC_AUTH": "ann:hunter2"}
    given["BALLAST_LOCAL_TELEGRAM"] = "true"
    running = Running(open_folder, own_ports | given)
    runs.append(running)
    lines = running.lines_until("Ballast is ready")
    assert lines[-1] == "Ballast is ready", "\n".join(lines)
    assert lines[1].endswith("(given by DATABASE_URL)")
    assert lines[2].endswith("(given by REDIS_URL)")
    assert "hunter2" not in "\n".join(lines)
    assert not (open_folder / ".ballast/postgres").exists()
    running.stop()


def is_head_of(process: psutil.Process, node: str) -> bool:
    """Whether it is a worker of that name, and not one of its pool."""
    try:
        parent = process.parent()
        return node in process.cmdline() and parent is not None and node not in parent.cmdline()
    except psutil.NoSuchProcess:  # sessions of PostgreSQL come and go
        return False


def page(url: str, user: str = "", password: str = "") -> bytes:
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    passwords.add_password(None, url, user, password, is_authenticated=bool(user))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords)
    )
    with opener.open(url, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def remember(folder: Path, environment: dict[str, str]) -> None:
    """Leave a mark in both stores."""
    postgres, store = stores(folder, environment)
    connection = psycopg2.connect(postgres.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE mark (number int); INSERT INTO mark VALUES (1)")
    connection.close()
    with redis.Redis.from_url(store.url) as client:
        client.set("mark", "kept")


def remembered(folder: Path, environment: dict[str, str]) -> tuple[int, bytes]:
    postgres, store = stores(folder, environment)
    connection = psycopg2.connect(postgres.url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT number FROM mark")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    with redis.Redis.from_url(store.url) as client:
        mark = client.get("mark")
    assert isinstance(mark, bytes)
    return row[0], mark


def stores(folder: Path, environment: dict[str, str]) -> tuple[EmbeddedPostgres, EmbeddedRedis]:
    """The two of a run in `folder`, for their addresses."""
    data = folder / ".ballast"
    return (
        EmbeddedPostgres(data / "postgres", int(environment["BALLAST_POSTGRES_PORT"])),
        EmbeddedRedis(data / "redis", int(environment["BALLAST_REDIS_PORT"])),
    )
