"""`python -m dbcore migrate|audit|status|breaker`: those commands of `ballast`, for operators."""

from __future__ import annotations

import sys

from ballast.cli import database
from ballast.cli.commands import Group, run

commands = Group(
    "dbcore",
    help="Look after Ballast's database.",
    commands=[database.migrate, database.audit, database.status, database.breaker],
)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    return run(commands, "python -m dbcore", arguments)


if __name__ == "__main__":
    sys.exit(main())
