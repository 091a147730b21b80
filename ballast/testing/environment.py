"""What the processes under test have in their environment: nothing of the Ballast that you run elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbcore.settings import option_names

# An outage is noticed, and its end, in about a second.
_QUICK = {"DB_DEADLINE_SECONDS": "2", "HEALTH_PROBE_SECONDS": "1"}

MADE_HERE = frozenset(
    {
        *("DATABASE_URL", "REDIS_URL", "TELEGRAM_API_URL", "TELEGRAM_BOT_TOKEN"),
        *("ADMIN_IDS", "OPS_PORT", "BALLAST_ENV_FILE"),
    }
)
"""Options that no test may set: they would lead to other servers than the tests' own."""


def environment(settings: Mapping[str, str], paths: Sequence[Path]) -> dict[str, str]:
    """Yours without any option of Ballast's, and with `settings`. No file is read: neither .env nor what a
    `ballast run` in the same folder writes.

    paths -- where modules are found beside the installed ones.
    """
    if foreign := sorted(MADE_HERE & settings.keys()):
        raise ValueError(f"ballast_settings: {', '.join(foreign)}: the tests have servers of their own")
    options = option_names()
    inherited = {name: value for name, value in os.environ.items() if name.upper() not in options}
    found = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **inherited,
        **_QUICK,
        "PYTHONPATH": os.pathsep.join(found),
        "BALLAST_ENV_FILE": os.devnull,
        **settings,
    }
