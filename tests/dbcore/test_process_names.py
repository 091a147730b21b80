"""A neighbour's end is seen by its name, and what cannot be told is never taken for an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from dbcore.breaker.process_names import has_ended, name_of_this_process
from devstack.stack import ROOT

PROGRAM = "from dbcore.breaker.process_names import name_of_this_process as name; print(name(), flush=True); input()"


@pytest.fixture
def neighbour() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_process_that_lives_has_not_ended_and_one_that_was_killed_has(
    neighbour: subprocess.Popen[str],
) -> None:
    assert neighbour.stdout is not None
    name = neighbour.stdout.readline().strip()
    with neighbour:
        assert not has_ended(name)
        neighbour.send_signal(signal.SIGSTOP)
        assert not has_ended(name), "stopped is not ended"
        neighbour.kill()
        os.waitid(os.P_PID, neighbour.pid, os.WEXITED | os.WNOWAIT)
        assert has_ended(name), "nobody has asked for its exit status, but it is dead"
    assert has_ended(name)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    host, pid, word, where, start = name_of_this_process().split(":")
    assert not has_ended(f"{host}:{pid}:{word}:{where}:{start}")
    assert has_ended(f"{host}:{pid}:{word}:{where}:{int(start) - 1}")


@pytest.mark.parametrize(
    "name",
    [
        "host:1:abcdefgh",
        "host:999999:abcdefgh",
        "host:999999:abcdefgh:elsewhere:7",
        "",
        "a:b:c:d:e",
        "host:1:w::7",
    ],
)
def test_what_ran_elsewhere_or_was_named_by_an_older_release_is_not_judged(name: str) -> None:
    assert not has_ended(name)
