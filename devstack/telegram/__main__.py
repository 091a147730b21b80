"""`python -m devstack.telegram` is `ballast telegram`."""

from __future__ import annotations

import sys

from ballast.cli.commands import run
from ballast.cli.local import telegram

if __name__ == "__main__":
    sys.exit(run(telegram, "python -m devstack.telegram"))
