"""`python -m tests.chaos --seconds 60 --seed 1`: break the cluster for a while, and audit what is left."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from tests.chaos import recovery, settling, stock
from tests.chaos.report import json_line, lines
from tests.chaos.run import run
from tests.harness.servers import temporary_folder


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.recovery is not None:
        with temporary_folder() as folder:
            found = recovery.measure(folder, arguments.recovery)
        print(json.dumps(found, indent=1))
        return 1 if found["lost"] or found["doubled"] or found["left_running"] else 0
    if arguments.settling is not None:
        with temporary_folder() as folder:
            waited = settling.measure(folder, arguments.settling)
        print(json.dumps(waited, indent=1))
        return 1 if waited["left_running"] else 0
    if arguments.peer:
        with temporary_folder() as folder:
            print(json.dumps(stock.measure(folder), indent=1))
        return 0
    with temporary_folder() as folder:
        outcome = run(folder, seconds=arguments.seconds, seed=arguments.seed)
        if not outcome.passed and arguments.keep is not None:
            shutil.copytree(folder / "work", arguments.keep, dirs_exist_ok=True)
    print("\n".join(lines(outcome)))
    print(json_line(outcome))
    return 0 if outcome.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of plan and faults (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where a failed run's logs are copied to")
    parser.add_argument("--peer", action="store_true", help="the same against stock Celery, instead")
    parser.add_argument(
        "--settling",
        type=int,
        metavar="TIMES",
        help="measure how long users wait when each process is killed",
    )
    parser.add_argument("--recovery", type=int, metavar="KILLS", help="measure recovery from so many kill -9")
    return parser


if __name__ == "__main__":
    sys.exit(main())
