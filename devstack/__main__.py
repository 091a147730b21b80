"""`python -m devstack run`."""

from __future__ import annotations

import argparse
import sys

from devstack.run import run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m devstack", description="What a laptop has instead of servers."
    )
    parser.add_argument("command", choices=["run"], help="start everything and keep it up until Ctrl-C")
    parser.parse_args()
    return run()


if __name__ == "__main__":
    sys.exit(main())
