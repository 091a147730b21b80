"""`python -m devstack freeze`: the embedded PostgreSQL of `make run` stands still for a while, as a server does whose
disk hangs, so that one sees what Ballast makes of it.
"""

from __future__ import annotations

import time
from pathlib import Path

from devstack.options import StartRefused
from devstack.proxy import frozen_server


def freeze(project: Path, seconds: float) -> None:
    """Ctrl-C thaws it sooner, and so does the death of this process. Raises StartRefused where none runs here."""
    pid_file = project / ".ballast" / "postgres" / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        with frozen_server(pid):
            print(f"PostgreSQL stands still for {seconds:g} s, or until Ctrl-C", flush=True)
            time.sleep(seconds)
    except (FileNotFoundError, ProcessLookupError):
        raise StartRefused(
            "no PostgreSQL of `make run` or `ballast run` runs in this folder; start it first, without DATABASE_URL"
        ) from None
    except KeyboardInterrupt:
        pass
    print("PostgreSQL goes on", flush=True)
