"""`python -m tests.fuzz --updates 1000000 --seed 1`: updates of every bad shape, read, interpreted and taken in."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from ballast.process.logs import configure_logging
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.chaos.report import machine
from tests.fuzz.fuzzing import fuzzer_at
from tests.harness.queueing import queueing_at
from tests.harness.servers import temporary_folder

TAKEN = 2_000
"""So many of them go through the intake to a real inbox."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--updates", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)
    with temporary_folder() as folder:
        server = EmbeddedRedis(folder / "redis", free_port())
        server.start()
        try:
            with queueing_at(server.url) as queueing:
                fuzzer = fuzzer_at(queueing, every=max(1, options.updates // TAKEN))
                started = time.monotonic()
                fuzzer.run(options.seed, options.updates)
                seconds = time.monotonic() - started
        finally:
            server.stop()
    print(
        f"{options.updates:,} updates of seed {options.seed} in {seconds:.0f} s, none broke a promise; {machine()}"
    )
    for what, count in fuzzer.seen.most_common():
        print(f"  {count:>9,}  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
