"""Ballast's programs as an operator starts them, in a folder of the test's own where no server answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.ports import free_port
from devstack.stack import ROOT


def run_program(
    arguments: Sequence[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; its settings are all well, but for `environment`."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "DATABASE_URL": f"postgresql://u:p@127.0.0.1:{free_port()}/d",
            "TELEGRAM_BOT_TOKEN": "1:a",
            "OPS_PORT": str(free_port()),
            "FLOWER_PORT": str(free_port()),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
