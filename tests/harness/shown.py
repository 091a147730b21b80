"""A program that says how it was started: `python -m tests.harness.shown [exit STATUS | fail | wait]`."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import sys
import threading
import time
from pathlib import Path

from dbcore import money


def surroundings() -> dict[str, object]:
    """What is the same for two programs that are started in the same way."""
    return {
        "name": __name__,
        "argv": sys.argv,
        "program": sys.orig_argv,
        "path": sys.path,
        "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
        "cwd": str(Path.cwd()),
        "command line": Path("/proc/self/cmdline").read_text().rstrip("\0").split("\0"),
        "name of the process": Path("/proc/self/comm").read_text(),
        "descriptors": sorted(os.listdir("/proc/self/fd"), key=int),  # noqa: PTH208
        "handlers": {str(number): str(signal.getsignal(number)) for number in signal.valid_signals()},
        "mask": [*signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "threads": threading.active_count(),
        "encodings": [(each.encoding, each.errors) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "flags": [sys.flags.isolated, sys.flags.safe_path, sys.dont_write_bytecode],
        "zone": time.tzname,
        "state": hasattr(money, "LEFT"),
        "said": sys.stdin.read(),
    }


def only_its_own() -> dict[str, object]:
    return {
        "forked": "celery" in sys.modules,
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "random": random.random(),
        "bytes": ssl.RAND_bytes(8).hex(),
    }


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["exit", status]:
            sys.exit(int(status))
        case ["fail"]:
            raise LookupError("as it was told")
        case ["wait"]:
            print("waits", flush=True)
            time.sleep(600)
        case _:
            print(json.dumps({"same": surroundings(), "own": only_its_own()}))
            print("an error", file=sys.stderr)
            money.LEFT = True  # type: ignore[attr-defined]
