"""deploy/systemd beside `make run`: the same processes, time to stop, and what systemd itself says of the units."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ballast.queueing.queues import WORKERS
from devstack import programs
from devstack.programs import Program
from devstack.stack import ROOT

UNITS = ROOT / "deploy/systemd"
PYTHON = "/opt/ballast/.venv/bin/python"
COMMON = UNITS / "ballast-.service.d/common.conf"
OF_RUN = {
    "ballast-frontend.service": programs.frontend(),
    **{f"ballast-{name}@.service": programs.worker(name) for name in WORKERS},
    "ballast-beat.service": programs.beat(Path("/var/lib/ballast-beat")),
    "ballast-flower.service": programs.flower(Path("/var/lib/ballast-flower"), port=5555),
}

SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="no systemd-analyze on this machine")


def read(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as the documentation of configparser says
    parser.read(unit)
    return parser


def test_each_process_of_make_run_has_its_unit_and_the_migrations_have_one() -> None:
    assert {unit.name for unit in UNITS.glob("*.service")} == OF_RUN.keys() | {"ballast-migrate.service"}


@pytest.mark.parametrize("name", OF_RUN)
def test_a_unit_runs_by_the_command_of_make_run_and_has_time_to_stop(name: str) -> None:
    program: Program = OF_RUN[name]
    service = read(UNITS / name)["Service"]
    # %% is one %, and %i the number of the instance, so that two on a host have names of their own.
    command = service["ExecStart"].replace("%i@%%h", "@%h").split()
    assert command == [PYTHON if part == sys.executable else part for part in program.argv]
    assert int(service["TimeoutStopSec"]) > program.stop_seconds
    assert service["Restart"] == "always"


@with_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """As installed, but by a Python and an environment file that are there."""
    assert SYSTEMD_ANALYZE is not None
    (tmp_path / COMMON.parent.name).mkdir()
    for file in (COMMON, *UNITS.glob("*.service")):
        text = file.read_text().replace(PYTHON, sys.executable)
        (tmp_path / file.relative_to(UNITS)).write_text(text)
    units = [str(file).replace("@.", "@1.") for file in sorted(tmp_path.glob("*.service"))]
    done = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", "--man=no", *units],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "ballast" in line]
    assert (done.returncode, said) == (0, []), done.stderr
