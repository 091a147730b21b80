"""docker-compose.yml beside `make run`: the same processes, and nothing open that need not be."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from devstack import programs
from devstack.programs import Program
from devstack.stack import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES = dict(
    re.findall(
        r"^  ([a-z-]+):(?: &\w+)?\n((?:    .*\n|\n)+)", COMPOSE[COMPOSE.index("\nservices:") :], re.MULTILINE
    )
)
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
    run = {part for name in programs.WORKERS for part in programs.worker(name).argv if part.endswith("@%h")}
    assert run == set(re.findall(r'"(\w+@%h)"', COMPOSE))


def test_no_port_is_published_beyond_the_host_itself() -> None:
    published = re.findall(r"ports: \[(.*)\]", COMPOSE)
    assert len(published) == 2
    assert all(port.startswith('"127.0.0.1:') for port in published)
    assert "ports" not in SERVICES["postgres"] + SERVICES["redis"]


def test_redis_keeps_what_it_said_it_has() -> None:
    for option in (
        "--appendonly yes",
        "--appendfsync always",
        "--maxmemory-policy noeviction",
        "--requirepass",
    ):
        assert option in SERVICES["redis"]


def test_each_secret_that_is_asked_for_is_in_the_example_and_has_no_value_there() -> None:
    example = (ROOT / "compose.env.example").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE))
    assert wanted
    for name in wanted:
        assert re.search(rf"^{name}=$", example, re.MULTILINE), name


def test_the_image_holds_the_house_and_no_tests() -> None:
    copied = set(re.findall(r"^COPY (\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == {"requirements.txt", "celeryconfig.py", "dbcore", "workers", "bot_frontend"}
