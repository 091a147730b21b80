"""`python -m devstack run|freeze`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack import announce
from devstack.freeze import freeze
from devstack.options import StartRefused
from devstack.run import run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devstack", description="What a laptop has instead of servers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start everything and keep it up until Ctrl-C")
    standing = commands.add_parser("freeze", help="let the PostgreSQL that runs here stand still for a while")
    standing.add_argument("--seconds", type=float, default=60.0, help="for so long (60)")
    options = parser.parse_args()
    if options.command == "run":
        return run()
    try:
        freeze(Path.cwd(), options.seconds)
    except StartRefused as refusal:
        announce.refusal(refusal)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
