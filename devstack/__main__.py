"""`python -m devstack run|freeze|kill-workers|programs|repair-redis`: `ballast run` and `ballast local`."""

from __future__ import annotations

import sys

from ballast.cli import local
from ballast.cli.commands import Group, run

commands = Group(
    "devstack",
    help="What a laptop has instead of servers.",
    commands=[local.run, *local.local.commands.values()],
)

if __name__ == "__main__":
    sys.exit(run(commands, "python -m devstack"))
