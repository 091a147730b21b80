"""Python's garbage collector, and what it need not look at."""

from __future__ import annotations

import atexit
import gc
from typing import Any

NEW_OBJECTS = 5_000
"""After so many more than were freed it looks at the new ones. At Python's 700 it does so several times in each round
of jobs, and each time all that is under way survives, which makes it look at everything the sooner.
"""


OBJECTS_OF_A_START = 500_000
"""What a process makes while it is imported, with room to spare: 300,000 objects, and nearly all of them stay."""


def put_off_collection() -> None:
    """Have the collector wait until all that a process imports is there. Looking at it time and again while it grows
    is a tenth of what a start takes. `spare_what_stays` ends this in processes that go on for long.

    At the process's end it does not look either: at all of it, three times, which is a third of what a command takes.
    """
    atexit.register(gc.freeze)
    gc.set_threshold(OBJECTS_OF_A_START, *gc.get_threshold()[1:])


def spare_what_stays(**_celery: Any) -> None:
    """Have the collector pass over all that there is by now: modules, settings, connections. Looking at their 150,000
    objects takes 50 ms, in which nothing else happens, and in a forked process it copies their memory.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
