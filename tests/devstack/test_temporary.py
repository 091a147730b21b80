"""A run's folder in memory goes with the run, or with the next one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack import temporary

RUN = """
import sys, time
from pathlib import Path
from devstack import temporary
temporary.MEMORY, temporary.MEMORY_BYTES_MIN = Path(sys.argv[1]), 0
with temporary.servers_folder() as folder:
    (folder / "data").write_text("of a database")
    print(folder, flush=True)
    sys.stdin.read()
"""


def run(memory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_what_a_killed_run_left_in_memory_is_removed_by_the_next_and_nothing_of_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "MEMORY", tmp_path)
    monkeypatch.setattr(temporary, "MEMORY_BYTES_MIN", 0)
    with ExitStack() as ended:
        killed, running = (ended.enter_context(run(tmp_path)) for _ in range(2))
        ended.callback(running.kill)
        left, held = (Path((process.stdout or sys.stdin).readline().strip()) for process in (killed, running))
        killed.kill()
        killed.wait()
        assert (left / "data").exists()
        with temporary.servers_folder() as ours:
            assert {*tmp_path.iterdir()} == {held, ours}
            assert (held / "data").exists()
        assert {*tmp_path.iterdir()} == {held}


def test_without_room_in_memory_it_is_where_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "MEMORY_BYTES_MIN", 2**60)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary.servers_folder() as folder:
        assert folder.parent == tmp_path
    assert not folder.exists()
