"""`python -m devstack run|freeze|kill-workers|programs|repair-redis`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack import announce
from devstack.aof import repair
from devstack.freeze import freeze
from devstack.kill_workers import kill_workers
from devstack.options import StartRefused
from devstack.postgres import programs_folder
from devstack.run import run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devstack", description="What a laptop has instead of servers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start everything and keep it up until Ctrl-C")
    standing = commands.add_parser("freeze", help="let the PostgreSQL that runs here stand still for a while")
    standing.add_argument("--seconds", type=float, default=60.0, help="for so long (60)")
    commands.add_parser("kill-workers", help="kill -9 of the workers that run here; they come back")
    commands.add_parser(
        "programs", help="the folder of the embedded PostgreSQL's pg_dump, pg_restore and psql"
    )
    commands.add_parser("repair-redis", help="cut off what a power cut damaged at the end of Redis's file")
    options = parser.parse_args()
    if options.command == "run":
        return run()
    try:
        if options.command == "programs":
            print(programs_folder())
        elif options.command == "kill-workers":
            print(f"{kill_workers(Path.cwd())} processes killed")
        elif options.command == "repair-redis":
            announce.repaired(repair(Path.cwd()))
        else:
            freeze(Path.cwd(), options.seconds)
    except StartRefused as refusal:
        announce.refusal(refusal)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
