"""An export that was killed, could not be written or was changed is never taken for a whole one."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack.stack import ROOT
from tests.dbcore.conftest import Sql, eventually
from tests.exporting.conftest import Ballast

FEW, MANY = 1_000, 40_000
MEGABYTES_MORE = 5  # 39,000 people as objects take 16
SECONDS_MAX = 60


def add_people(sql: Sql, people: int) -> None:
    sql(
        "INSERT INTO users (telegram_id, username, first_name) SELECT n, 'user' || n, 'Person ' || n "
        "FROM generate_series((SELECT count(*) + 1 FROM users), %s) AS n",
        people,
    )
    sql(
        "INSERT INTO accounts (user_id, currency, balance, version) SELECT id, 'CREDIT', 0, 0 FROM users "
        "ON CONFLICT DO NOTHING"
    )


def start_export(
    database_url: str, folder: Path, *, bytes_max: int = resource.RLIM_INFINITY
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ballast", "export", str(folder)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": database_url},
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max)),
    )


def test_a_killed_export_leaves_no_folder_and_the_next_one_clears_up(
    database_url: str, ballast: Ballast, sql: Sql, tmp_path: Path
) -> None:
    add_people(sql, MANY)
    process = start_export(database_url, tmp_path / "out")
    users = tmp_path / "out.partial/users.csv"
    eventually(lambda: users.exists() and users.stat().st_size)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert not (tmp_path / "out").exists()
    broken_off = ballast("export", "--verify", "out.partial")
    assert broken_off.exit_code == 1
    assert "it was broken off" in broken_off.stderr
    assert ballast("export", "out").exit_code == 0
    assert not (tmp_path / "out.partial").exists()
    assert ballast("export", "--verify", "out").exit_code == 0


def test_many_times_as_many_people_take_the_same_memory_and_seconds(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    megabytes = {}
    for people in (FEW, MANY):
        add_people(sql, people)
        began = time.monotonic()
        process = start_export(database_url, tmp_path / f"out{people}")
        most = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            most = max(most, int(peak[1]) if peak else 0)
            time.sleep(0.02)
        assert process.returncode == 0, process.communicate()
        process.communicate()
        assert time.monotonic() - began < SECONDS_MAX
        megabytes[people] = most / 1024
    assert megabytes[MANY] < megabytes[FEW] + MEGABYTES_MORE


def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing(
    database_url: str, sql: Sql, tmp_path: Path
) -> None:
    add_people(sql, 10 * FEW)
    process = start_export(database_url, tmp_path / "out", bytes_max=100_000)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said == f"ballast: {tmp_path}/out.partial/users.csv: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    ballast: Ballast, people: dict[int, int], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("1")
    refused = ballast("export", "out")
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"ballast: {tmp_path}/out: expected a new or an empty folder\n",
    )
    (tmp_path / "out/mine").rename(tmp_path / "mine")
    assert ballast("export", "out").exit_code == 0  # empty by now

    (tmp_path / "next.partial").mkdir()
    (tmp_path / "mine").rename(tmp_path / "next.partial/mine")
    refused = ballast("export", "next")
    assert "expected what is left of an export, found mine" in refused.stderr
    assert (tmp_path / "next.partial/mine").exists()


def test_two_exports_to_one_folder_do_not_mix(
    ballast: Ballast, people: dict[int, int], tmp_path: Path
) -> None:
    (tmp_path / "out.partial").mkdir()
    handle = os.open(tmp_path / "out.partial", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        refused = ballast("export", "out")
        assert "another export is writing to it" in refused.stderr
    finally:
        os.close(handle)
    assert ballast("export", "out").exit_code == 0


def cut(folder: Path) -> str:
    path = folder / "entries.csv"
    path.write_bytes(path.read_bytes()[:-5])
    return "entries.csv: .* bytes, the manifest says"


def change(folder: Path) -> str:
    path = folder / "users.csv"
    path.write_text(path.read_text().replace("10.00", "99.00"))
    return "users.csv: is not the file that was exported"


def remove(folder: Path) -> str:
    (folder / "payments.csv").unlink()
    return "payments.csv: is missing"


def add(folder: Path) -> str:
    (folder / "more.csv").touch()
    return "more.csv: is not in the manifest"


def change_sum(folder: Path) -> str:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["users.csv"]["sums"]["CREDIT"] = "1.00"
    path.write_text(json.dumps(manifest))
    return "users.csv: the sums differ"


def cut_manifest(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20])
    return "manifest.json is damaged"


@pytest.mark.parametrize("damage", [cut, change, remove, add, change_sum, cut_manifest])
def test_a_damaged_export_is_found_out(
    ballast: Ballast, people: dict[int, int], tmp_path: Path, damage: object
) -> None:
    assert ballast("export", "out").exit_code == 0
    assert callable(damage)
    expected = damage(tmp_path / "out")
    found = ballast("export", "--verify", "out")
    assert found.exit_code == 1
    assert re.search(expected, found.output)
