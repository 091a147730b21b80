"""What the garbage collector of a process looks at."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import gc, weakref
from ballast.process.garbage import spare_what_stays

class Node: pass

kept = Node()
spare_what_stays()
assert gc.get_freeze_count() > 1_000
assert not any(each is kept for each in gc.get_objects())

late = Node()
late.itself = late
gone = weakref.ref(late)
del late
gc.collect()
assert gone() is None
"""


def test_what_a_process_began_with_is_passed_over_and_what_came_later_is_collected() -> None:
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True, timeout=60)


_IMPORT = """
import gc, {package}

def collections():
    return [each["collections"] for each in gc.get_stats()]

before = collections()
import {process}
assert collections() == before, gc.get_count()
"""


@pytest.mark.parametrize("process", ["bot_frontend.__main__", "workers.celery"])
def test_the_collector_rests_while_a_process_is_imported(process: str) -> None:
    script = _IMPORT.format(package=process.partition(".")[0], process=process)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("command", ["ballast", "dbcore"])
def test_the_collector_rests_during_a_command(command: str) -> None:
    """Those that go on for long end this by themselves."""
    script = f"""
import gc, sys
from {command}.__main__ import main

sys.argv[1:] = ["--help"]
try:
    main()
except SystemExit:
    pass
assert gc.get_threshold()[0] > 100_000, gc.get_threshold()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_the_collector_rests_while_a_command_ends() -> None:
    script = """
import os
from dbcore.__main__ import main

class Node:
    def __del__(self, write=os.write):
        write(2, b"collected")

node = Node()
node.itself = node
del node
main(["--help"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
