"""What the garbage collector of a process looks at."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import gc, weakref
from ballast.garbage import spare_what_stays

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


@pytest.mark.parametrize("process", ["bot_frontend.__main__", "workers.celery", "ballast.cli.main"])
def test_the_collector_rests_while_a_process_is_imported(process: str) -> None:
    script = f"import gc, {process}; assert not gc.get_stats()[2]['collections'], gc.get_stats()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
