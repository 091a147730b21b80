"""kill -9 in the middle, and many people: what was booked stays booked once, and memory does not grow with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.importing import run_import, write_people
from devstack.stack import ROOT
from tests.dbcore.conftest import Sql

PEOPLE = 6_000
FEW, MANY = 1_000, 25_000
MEGABYTES_MORE = 6  # 24,000 people as objects take 10; in a temporary file 3


def test_an_import_killed_in_the_middle_goes_on_and_books_everything_once(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    total = write_people(tmp_path / "people.csv", PEOPLE)
    arguments = [str(tmp_path / "people.csv"), "--source", "shop"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": database_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "ballast", "import", *arguments], env=environment, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while sql("SELECT count(*) FROM users")[0][0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    booked = sql("SELECT count(*) FROM users")[0][0]
    assert 0 < booked < PEOPLE
    assert booked % 1_000 == 0  # whole batches

    said, _, _ = run_import(environment, *arguments)
    assert f"people   {PEOPLE:,} ({PEOPLE - booked:,} new)" in said
    assert sql("SELECT count(*), sum(amount) FROM transfers") == [(PEOPLE * 9 // 10, total)]
    assert "checks passed" in said


def test_many_times_as_many_people_take_the_same_memory(database_url: str, tmp_path: Path) -> None:
    megabytes = {}
    for people in (FEW, MANY):
        write_people(tmp_path / "people.csv", people)
        arguments = (str(tmp_path / "people.csv"), "--source", "shop", "--dry-run")
        _, _, megabytes[people] = run_import({"DATABASE_URL": database_url}, *arguments)
    assert megabytes[MANY] < megabytes[FEW] + MEGABYTES_MORE
