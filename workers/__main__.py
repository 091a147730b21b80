"""`python -m workers job|dead-letters|broadcast …`: `ballast jobs` and `ballast broadcast` by their older names."""

from __future__ import annotations

import sys

from ballast.cli import broadcast, jobs
from ballast.cli.commands import Group, run

dead_letters = Group(
    "dead-letters",
    help="What could not be done.",
    commands={"list": jobs.list_, "show": jobs.failure, "retry": jobs.retry, "discard": jobs.discard},
)
commands = Group(
    "workers",
    help="Ballast's workers, in an operator's hands.",
    commands={"broadcast": broadcast.broadcast, "job": jobs.show, "dead-letters": dead_letters},
)

if __name__ == "__main__":
    sys.exit(run(commands, "python -m workers"))
