"""The embedded Redis: what it acknowledged is on the disk, and it never evicts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from devstack.embedded import EmbeddedServerError
from devstack.parent_death import tied_to_parent
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.devstack.conftest import ORDINARY_USER
from tests.devstack.processes import family, until_all_gone


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(open_folder / "redis", free_port())
    server.start()
    yield server
    server.stop()


def test_every_write_is_on_the_disk_and_none_is_evicted(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        found = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
    }


def test_data_survives_a_stop_and_a_kill(server: EmbeddedRedis) -> None:
    for number, end in enumerate((server.stop, server.kill, server.kill)):
        with redis.Redis.from_url(server.url) as client:
            client.rpush("kept", number)
        end()
        server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.lrange("kept", 0, -1) == [b"0", b"1", b"2"]


def test_two_run_side_by_side(server: EmbeddedRedis, open_folder: Path) -> None:
    other = EmbeddedRedis(open_folder / "another one", free_port())
    other.start()
    try:
        with redis.Redis.from_url(server.url) as here, redis.Redis.from_url(other.url) as there:
            here.set("where", "here")
            assert there.get("where") is None
    finally:
        other.stop()


def test_on_a_taken_port_it_says_so_and_is_not_mistaken_for_the_one_there(
    server: EmbeddedRedis, open_folder: Path
) -> None:
    late = EmbeddedRedis(open_folder / "late", server.port)
    assert not late.accepts()
    with pytest.raises(EmbeddedServerError, match="Address already in use"):
        late.start()


def test_a_stop_leaves_no_process(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    processes = family(server.pid)
    server.stop()
    until_all_gone(processes)
    assert server.pid is None


SCRIPT = (
    "import signal, sys; from pathlib import Path; from devstack.redis import EmbeddedRedis;"
    "server = EmbeddedRedis(Path(sys.argv[1]), int(sys.argv[2])); server.start();"
    "print(server.pid, flush=True); signal.pause()"
)


def test_it_goes_when_its_starter_is_killed(open_folder: Path, bare_environment: dict[str, str]) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(open_folder / "redis"), str(free_port())],
        env=bare_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    processes = family(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    until_all_gone(processes)


def test_an_ordinary_user_runs_it(
    users_folder: Path, ordinary_user_python: str, bare_environment: dict[str, str]
) -> None:
    script = SCRIPT.replace("signal.pause()", "server.stop()")
    command = [ordinary_user_python, "-c", script, str(users_folder / "redis"), str(free_port())]
    done = subprocess.run(
        tied_to_parent(command, user=ORDINARY_USER),
        env=bare_environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
