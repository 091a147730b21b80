"""What the processes under test warn of: a handler's traceback, say, which its user only gets a reference of."""

from __future__ import annotations

import json
from pathlib import Path

WARNINGS_MAX = 20
_LEVELS = frozenset({"warning", "error", "critical"})
_NOT_SHOWN = frozenset({"event", "level", "timestamp", "logger", "exception"})


class LoggedWarnings:
    """Of all logs in a folder, in which each line is a JSON object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: dict[Path, int] = {}

    def forget(self) -> None:
        """`since` begins here."""
        self._sizes = {path: path.stat().st_size for path in self._folder.glob("*.log")}

    def since(self) -> str:
        """What was logged since `forget`, the last ones of each process; empty if nothing was."""
        found: list[str] = []
        for path in sorted(self._folder.glob("*.log")):
            with path.open("rb") as log:
                log.seek(self._sizes.get(path, 0))
                lines = log.read().decode(errors="replace").splitlines()
            warnings = [warning for line in lines if (warning := _warning(line))]
            found += [f"{path.stem}: {warning}" for warning in warnings[-WARNINGS_MAX:]]
        return "\n".join(found)


def _warning(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:  # what a library prints
        return None
    if not isinstance(entry, dict) or entry.get("level") not in _LEVELS:
        return None
    fields = [f"{name}={value}" for name, value in entry.items() if name not in _NOT_SHOWN]
    told = " ".join([str(entry.get("event")), *fields])
    return "\n".join(filter(None, [told, entry.get("exception")]))
