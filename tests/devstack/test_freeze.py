"""`make freeze`, on a server where `make run` has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbcore.guard import deadline
from dbcore.guard.deadline import Deadline, DeadlineExceeded
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]


def freezing(project: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "freeze", "--seconds", str(seconds)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder / ".ballast" / "postgres", free_port(), durable=False)
    (open_folder / ".ballast").mkdir(mode=0o711)
    server.start()
    yield server
    server.stop()


def test_a_frozen_postgresql_answers_nobody_and_goes_on_at_the_end(
    server: EmbeddedPostgres, open_folder: Path
) -> None:
    connection = deadline.connect(server.url)
    standing = freezing(open_folder, 600)
    assert standing.stdout is not None
    assert standing.stdout.readline() == "PostgreSQL stands still for 600 s, or until Ctrl-C\n"
    with pytest.raises(DeadlineExceeded), Deadline(0.3), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    standing.kill()  # also then it is thawed
    standing.communicate()
    connection = deadline.connect(server.url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()
    said, _ = freezing(open_folder, 0.1).communicate(timeout=60)
    assert said.endswith("PostgreSQL goes on\n")


def test_without_a_postgresql_of_ours_it_says_so(open_folder: Path) -> None:
    refused = freezing(open_folder, 1)
    _, complaint = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "no PostgreSQL of `make run` or `ballast run` runs in this folder" in complaint
