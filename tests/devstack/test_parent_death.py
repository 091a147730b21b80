"""A tied_to_parent program does not outlive its parent, and becomes who it is told to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devstack.parent_death import tied_to_parent
from tests.devstack.conftest import ORDINARY_USER, ROOT
from tests.devstack.processes import until_all_gone

# Starts a tied_to_parent program, tells its process id, and waits forever.
PARENT = """
import os, signal, subprocess, sys
from devstack.parent_death import tied_to_parent
child = subprocess.Popen(tied_to_parent(sys.argv[1:], parent=os.getpid()), stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
signal.pause()
"""
# Says that it is up, and is not impressed by SIGTERM of anyone but its kernel's default.
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


def test_a_program_dies_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, sys.executable, "-c", SLEEPER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid, _, word = parent.stdout.readline().partition(" ")
    assert word.strip() == "up"
    sleeper = psutil.Process(int(pid))
    parent.kill()
    parent.wait()
    until_all_gone([sleeper])
    parent.stdout.close()


def test_a_program_whose_parent_is_gone_already_does_not_start(tmp_path: Path) -> None:
    someone_else = os.getppid()
    trace = tmp_path / "trace"
    done = subprocess.run(tied_to_parent(["touch", str(trace)], parent=someone_else), check=False)
    assert done.returncode == 128
    assert not trace.exists()


def test_it_becomes_the_program_with_the_same_process_id() -> None:
    process = subprocess.Popen(
        tied_to_parent([sys.executable, "-c", "import os; print(os.getpid())"]),
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate()
    assert int(said) == process.pid


def test_the_exit_status_of_the_program_is_its_own() -> None:
    assert subprocess.run(tied_to_parent(["sh", "-c", "exit 7"]), check=False).returncode == 7


def test_the_death_signal_is_the_one_asked_for(tmp_path: Path) -> None:
    tells = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
    said = subprocess.run(
        tied_to_parent([sys.executable, "-c", tells], death_signal=signal.SIGINT),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(said.stdout) == signal.SIGINT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_root_it_becomes_the_user_for_good_and_stays_tied_to_its_parent(ordinary_user_python: str) -> None:
    tells = (
        "import ctypes, os; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n));"
        "print(*os.getresuid(), *os.getgroups(), n.value)"
    )
    said = subprocess.run(
        tied_to_parent([ordinary_user_python, "-c", tells], user=ORDINARY_USER),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    *ids, death_signal = map(int, said.stdout.split())
    assert 0 not in ids
    assert death_signal == signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        (tied_to_parent(["true"], user="no-such-user"), 126, "parent_death: "),
        (
            tied_to_parent(["/no/such/program"]),
            127,
            "parent_death: /no/such/program: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_started_is_told_in_one_line(command: list[str], status: int, line: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_it_is_a_command_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devstack.parent_death", "--signal", "SIGINT", "--", "echo", "--signal", "x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "--signal x\n"
