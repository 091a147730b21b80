"""Who comes first where cores are short."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_GROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Let other processes of this machine come first, as `nice` does.

    Linux shares cores among sessions first (sched_autogroup), and then niceness counts within a session only. Where
    supervision made one for this worker alone, which this process or its parent leads, the whole session gives way.
    """
    os.nice(niceness)
    if os.getsid(0) in {os.getpid(), os.getppid()}:
        with contextlib.suppress(OSError):  # another system, or a kernel without
            _GROUP.write_text(str(niceness))
