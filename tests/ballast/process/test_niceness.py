from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")

SCRIPT = """
import os
from pathlib import Path
from ballast.process.niceness import give_way

give_way()
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text().split()[-1] if group.exists() else "none")
"""


def in_a_child(script: str) -> str:
    return f"""
import os
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
else:
    exec({script!r})
"""


def run(script: str) -> list[str]:
    argv = [sys.executable, "-c", script]
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=60, start_new_session=True
    ).stdout.split()


@pytest.mark.parametrize("script", [SCRIPT, in_a_child(SCRIPT)])
def test_a_worker_in_a_session_of_its_own_gives_way_with_the_session(script: str) -> None:
    assert run(script) == ["10", "10" if AUTOGROUP.exists() else "none"]


def test_a_worker_in_somebody_s_session_leaves_it_as_it_is() -> None:
    """Such as one that was started in a terminal, with others beside it."""
    assert run(in_a_child(in_a_child(SCRIPT))) == ["10", "0" if AUTOGROUP.exists() else "none"]
