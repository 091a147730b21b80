"""docker-compose.yml beside `make run`: the same processes, and nothing open that need not be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped]  # publishes no types

from ballast.queueing.queues import WORKERS
from dbcore.settings import Settings
from devstack import programs
from devstack.ports import free_port
from devstack.programs import Program
from devstack.redis import EmbeddedRedis
from devstack.stack import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = dict(
    re.findall(
        r"^  ([a-z-]+):(?: &\w+)?\n((?:    .*\n|\n)+)", COMPOSE[COMPOSE.index("\nservices:") :], re.MULTILINE
    )
)
CONTAINERS: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OF_RUN = {
    "frontend": programs.frontend(),
    "worker": programs.worker("main"),
    "worker-bulk": programs.worker("bulk"),
    "worker-light": programs.worker("light"),
    "beat": programs.beat(Path("/tmp")),
    "flower": programs.flower(Path("/state"), port=5555, address="0.0.0.0"),  # noqa: S104  inside the container
}


@pytest.mark.parametrize("service", OF_RUN)
def test_a_service_runs_by_the_command_of_make_run_and_has_time_to_stop(service: str) -> None:
    program: Program = OF_RUN[service]
    (command,) = re.findall(r"^    command: (\[.*\])$", SERVICES[service], re.MULTILINE)
    assert json.loads(command) == ["python" if part == sys.executable else part for part in program.argv]
    inherited = (
        COMPOSE[: COMPOSE.index("\nservices:")] if "*worker" in SERVICES[service] else SERVICES[service]
    )
    (seconds,) = re.findall(r"stop_grace_period: (\d+)s", inherited)
    assert int(seconds) > program.stop_seconds


def test_every_worker_of_make_run_has_its_service() -> None:
    run = {part for name in WORKERS for part in programs.worker(name).argv if part.endswith("@%h")}
    assert run == set(re.findall(r'"(\w+@%h)"', COMPOSE))


def test_no_port_is_published_beyond_the_host_itself() -> None:
    published = re.findall(r"ports: \[(.*)\]", COMPOSE)
    assert len(published) == 2
    assert all(port.startswith('"127.0.0.1:') for port in published)
    assert "ports" not in SERVICES["postgres"] + SERVICES["redis"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert "/tmp" in container["tmpfs"]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    # The servers' own entry points begin as root; ours do not.
    assert ("cap_add" in container) == (name in {"postgres", "redis"})
    for limit in ("mem_limit", "pids_limit"):
        assert limit in container, limit
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in {"role", "migrate"}])
def test_what_is_to_stay_up_is_looked_at_and_started_again(name: str) -> None:
    assert CONTAINERS[name]["restart"] == "unless-stopped"
    assert CONTAINERS[name]["healthcheck"].keys() >= {"test", "interval", "timeout", "retries"}


def test_a_beat_says_that_it_goes_round_as_its_health_check_asks(tmp_path: Path, redis_url: str) -> None:
    """Not only at its start."""
    assert "find /tmp/schedule.round -mmin -1 " in str(CONTAINERS["beat"]["healthcheck"]["test"])
    settings = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url}
    beat = programs.beat(tmp_path)
    sign = tmp_path / "schedule.round"
    with subprocess.Popen(beat.argv, env=settings, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_until(sign.exists)
            for _ in range(2):
                os.utime(sign, (0, 0))
                assert wait_until(lambda: sign.stat().st_mtime > 0)
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_redis_keeps_what_it_said_it_has() -> None:
    for option in (
        "--appendonly yes",
        "--appendfsync always",
        "--maxmemory-policy noeviction",
        "requirepass",
    ):
        assert option in SERVICES["redis"]


def test_redis_gets_its_password_and_shows_it_in_no_argument(tmp_path: Path) -> None:
    """By the shell of the container, with the embedded server in place of redis-server and its entry point."""
    password, port = "hunter2-hunter2", free_port()
    *shell, script = CONTAINERS["redis"]["command"]
    (tmp_path / "docker-entrypoint.sh").write_text('#!/bin/sh\nshift\nexec "$REDIS_SERVER" "$@"\n')
    (tmp_path / "docker-entrypoint.sh").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "REDIS_PASSWORD": password,
        "REDIS_SERVER": EmbeddedRedis(tmp_path, port).command().argv[0],
    }
    script = script.replace("$$", "$").replace(" - ", f" - --port {port} --dir {tmp_path} ", 1)
    with subprocess.Popen([*shell, script], env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(port=port, password=password) as client:
                assert wait_until(lambda: answers(client))
                assert client.config_get("appendonly") == {"appendonly": "yes"}
            with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
        finally:
            server.terminate()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


NEEDED = {
    "postgres": {"POSTGRES_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "role": {"POSTGRES_PASSWORD", "POSTGRES_ADMIN_PASSWORD"},
    "migrate": {"DATABASE_URL", "TELEGRAM_BOT_TOKEN"},
    "frontend": {
        "REDIS_URL",
        "TELEGRAM_BOT_TOKEN",
        "TELEGRAM_PROXY_URL",
        "TELEGRAM_WEBHOOK_SECRET",
        "OPS_TOKEN",
        "EVENTS_URL",
        "EVENTS_SECRET",
        "CRYPTO_PAY_TOKEN",
        "STRIPE_KEY",
        "STRIPE_WEBHOOK_SECRET",
    },
    "beat": {"REDIS_URL"},
    "beat-second": {"REDIS_URL"},
    "flower": {"REDIS_URL", "FLOWER_BASIC_AUTH", "FLOWER_COOKIE_SECRET"},
    **{
        worker: {
            "DATABASE_URL",
            "REDIS_URL",
            "TELEGRAM_BOT_TOKEN",
            "TELEGRAM_PROXY_URL",
            "EVENTS_URL",
            "EVENTS_SECRET",
            "CRYPTO_PAY_TOKEN",
            "STRIPE_KEY",
            "STRIPE_WEBHOOK_SECRET",
        }
        for worker in ("worker", "worker-bulk", "worker-light")
    },
}
SECRETS = {
    name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
} | {
    "FLOWER_COOKIE_SECRET",
    "POSTGRES_PASSWORD",
    "POSTGRES_ADMIN_PASSWORD",
    "REDIS_PASSWORD",
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_the_secrets_that_it_needs_and_no_others(name: str) -> None:
    assert "env_file" not in CONTAINERS[name]
    assert CONTAINERS[name]["environment"].keys() & SECRETS == NEEDED[name]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_reaches_what_it_needs_and_nothing_else(name: str) -> None:
    needed = set()
    if name in {"postgres", "role"} or "DATABASE_URL" in NEEDED[name]:
        needed.add("database")
    if name == "redis" or "REDIS_URL" in NEEDED[name]:
        needed.add("queue")
    if "TELEGRAM_PROXY_URL" in NEEDED[name] or "ports" in CONTAINERS[name]:
        needed.add("outside")
    assert set(CONTAINERS[name]["networks"]) == needed
    networks = yaml.safe_load(COMPOSE)["networks"]
    assert [network for network, options in networks.items() if not (options or {}).get("internal")] == [
        "outside"
    ]


def test_every_option_that_is_no_secret_reaches_the_processes() -> None:
    """From compose.env. Ports and addresses are the container's own."""
    own = {"OPS_HOST", "OPS_PORT", "PORT", "TRUSTED_PROXIES", "FLOWER_PORT", "SIMULATOR_PORT"}
    options = {name.upper() for name in Settings.model_fields} - SECRETS - own
    for name in OF_RUN:
        environment = CONTAINERS[name]["environment"]
        assert options <= environment.keys()
        assert all(environment[option] is None for option in options)


def test_each_secret_that_is_asked_for_is_in_the_example_and_has_no_value_there() -> None:
    example = (ROOT / "compose.env.example").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE))
    assert wanted
    for name in wanted:
        assert re.search(rf"^{name}=$", example, re.MULTILINE), name


def test_the_image_holds_the_packages_and_no_tests() -> None:
    copied = set(re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == {"requirements.txt", "ballast", "dbcore", "workers", "bot_frontend"}
