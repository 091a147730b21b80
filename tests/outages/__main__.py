"""`python -m tests.outages --kind stopped --times 20`: how Ballast lives through outages of the database."""

from __future__ import annotations

import argparse
import json
import sys

from tests.chaos.report import machine, percentile
from tests.harness.servers import temporary_folder
from tests.outages.kinds import KINDS
from tests.outages.measure import measure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.outages", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="stopped")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each (default %(default)s)")
    parser.add_argument("--per-second", type=float, default=50.0, help="commands (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.kind}, {options.seconds:.0f} s, {options.per_second:.0f} commands/s, {machine()}")
    with temporary_folder() as folder:
        found = measure(
            folder,
            [options.kind] * options.times,
            seconds=options.seconds,
            per_second=options.per_second,
            seed=options.seed,
        )
    for outage in found:
        print(json.dumps(outage.facts()))
    _print_spread("first write applied after the return", [outage.first_applied for outage in found])
    _print_spread("breaker closed after the return", [outage.closed for outage in found])
    _print_spread("breaker opened after the begin", [outage.opened_after or 0.0 for outage in found])
    _print_spread("a command's first answer", [answer for outage in found for answer in outage.answers])
    late = [after for outage in found for after in outage.late]
    print(
        f"statements while open that no lease allows: {sum(len(outage.strays) for outage in found)}; "
        f"before every process had heard: {len(late)}, the last {max(late, default=0.0):.2f} s after the opening"
    )
    return 1 if any(outage.wrong for outage in found) else 0


def _print_spread(what: str, seconds: list[float]) -> None:
    print(
        f"{what}: p50 {percentile(seconds, 0.5):.2f} s, p99 {percentile(seconds, 0.99):.2f} s, "
        f"max {max(seconds):.2f} s of {len(seconds)}"
    )


if __name__ == "__main__":
    sys.exit(main())
