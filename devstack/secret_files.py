"""Files that only their owner reads."""

from __future__ import annotations

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Readable by the owner only, and either whole or not there."""
    growing = path.with_name(f"{path.name}.new")
    growing.unlink(missing_ok=True)
    with os.fdopen(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    growing.rename(path)
