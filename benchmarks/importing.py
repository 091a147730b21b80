"""`ballast import` of a CSV file with many people, as a process of its own: its time and its memory."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIRST_TELEGRAM_ID = 5_000_000_000
FEW = 2_000
"""What the memory of many is compared with."""


def write_people(path: Path, people: int) -> int:
    """A CSV file of them. Returns the sum of their balances in minor units."""
    chance = random.Random(people)
    total = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(
            "telegram_id,balance,username,first_name,language_code,registered_at,status,broadcasts_stopped\n"
        )
        for number in range(people):
            minor = chance.randrange(100_000) if number % 10 else 0
            total += minor
            status = "banned" if number % 50 == 0 else "active"
            file.write(
                f"{FIRST_TELEGRAM_ID + number},{minor // 100}.{minor % 100:02},person_{number},Person {number},de,"
                f"2024-0{1 + number % 9}-01T12:00:00Z,{status},{number % 7 == 0}\n"
            )
    return total


def run_import(environment: Mapping[str, str], *arguments: str) -> tuple[str, float, float]:
    """Run the command. What it printed, for how many seconds it ran, and its most memory in MB. Raises if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "ballast", "import", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
            stdout=said,
            stderr=said,
        )
        most = 0
        # Not by wait4: its figure counts what this process was at the fork.
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            most = max(most, int(peak[1]) if peak else 0)
            time.sleep(0.05)
        seconds = time.monotonic() - began
        said.seek(0)
        text = said.read()
    if process.returncode != 0:
        raise RuntimeError(text)
    return text, seconds, most / 1024


def run(database_url: str, people: int) -> dict[str, Any]:
    """database_url -- a migrated database; people are added to it."""
    environment = {"DATABASE_URL": database_url}
    results: dict[str, Any] = {"people": people}
    with tempfile.TemporaryDirectory(prefix="ballast-bench-") as folder:
        few, many = Path(folder) / "few.csv", Path(folder) / "many.csv"
        write_people(few, FEW)
        write_people(many, people)
        _, _, results["megabytes_few"] = run_import(environment, str(few), "--source", "few")
        for name, options in (("dry_run", ["--dry-run"]), ("first", []), ("again", [])):
            _, seconds, megabytes = run_import(
                environment, str(many), "--source", "many", "--new-source", *options
            )
            results[f"{name}_seconds"] = round(seconds, 1)
            results[f"{name}_megabytes"] = round(megabytes, 1)
        _, seconds, megabytes = run_import(environment, "--undo", "--source", "many")
        results["undo_seconds"] = round(seconds, 1)
        results["undo_megabytes"] = round(megabytes, 1)
    results["megabytes_few"] = round(results["megabytes_few"], 1)
    return results
