"""Who comes first where cores are short."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 10
"""A tenth of the weight of others."""

_GROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let whoever answers people come first: of processes that send broadcasts, or serve operators.

    Linux shares cores among sessions first (sched_autogroup), and then niceness counts within a session only. Where
    supervision made one for this program alone, which this process or its parent leads, the whole session gives way.
    """
    os.nice(NICENESS)
    if os.getsid(0) in {os.getpid(), os.getppid()}:
        with contextlib.suppress(OSError):  # another system, or a kernel without
            _GROUP.write_text(str(NICENESS))
