"""supervisord runs what it is told, whatever the folder is called, and takes it along when it goes."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from devstack.programs import Program
from devstack.supervision import Supervisor, SupervisorLost
from tests.devstack.processes import family, until, until_all_gone

TELLS = """
import json, os, sys, time
with open(sys.argv[1] + ".new", "w") as file:
    json.dump({"arguments": sys.argv[2:], "pid": os.getpid(), "given": os.environ.get("GIVEN"), "cwd":
    os.getcwd()}, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
print("a line for the log", flush=True)
time.sleep(600)
"""
AWKWARD = ["a b", "100%", "%(here)s", "it's", '"', "#1", "a #1", "x ;y", "", "ü"]


@contextmanager
def supervised(folder: Path, programs: list[Program], **env: str) -> Iterator[Supervisor]:
    (folder / "log").mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(folder, programs, env)
    try:
        supervisor.await_up()
        yield supervisor
        supervisor.stop([program.name for program in programs])
    finally:
        supervisor.shut_down()


@pytest.fixture
def awkward_folder(open_folder: Path) -> Path:
    folder = open_folder / "it's 100% #1 ;" / ".ballast"
    folder.mkdir(parents=True)
    return folder


def teller(folder: Path, name: str = "teller", **options: object) -> tuple[Program, Path]:
    told = folder / f"{name}.json"
    script = folder / "teller.py"
    script.write_text(TELLS)
    argv = [sys.executable, str(script), str(told), *AWKWARD]
    return Program(name, argv, stop_seconds=10, **options), told  # type: ignore[arg-type]


def test_arguments_and_environment_arrive_as_they_are(awkward_folder: Path) -> None:
    program, told = teller(awkward_folder)
    with supervised(awkward_folder, [program], GIVEN="100% a #1") as supervisor:
        supervisor.start("teller")
        until(told.exists)
        found = json.loads(told.read_text())
        assert found["arguments"] == AWKWARD
        assert found["given"] == "100% a #1"
        assert Path(found["cwd"]) == awkward_folder.parent
        assert supervisor.sight()["teller"].pid == found["pid"]
        until(lambda: "a line for the log" in (awkward_folder / "log/teller.log").read_text())


def test_a_killed_program_comes_back_and_a_stopped_one_does_not(open_folder: Path) -> None:
    program, told = teller(open_folder)
    with supervised(open_folder, [program]) as supervisor:
        supervisor.start("teller")
        until(lambda: supervisor.sight()["teller"].state == "RUNNING")
        first = psutil.Process(supervisor.sight()["teller"].pid)
        until(told.exists)
        told.unlink()
        first.kill()
        until(told.exists)
        second = psutil.Process(supervisor.sight()["teller"].pid)
        assert second.pid != first.pid
        supervisor.stop(["teller"])
        until_all_gone([first, second])
        assert supervisor.sight()["teller"].state == "STOPPED"


def test_a_program_that_cannot_start_is_seen_as_fatal(open_folder: Path) -> None:
    with supervised(open_folder, [Program("broken", ["/no/such/program"], stop_seconds=1)]) as supervisor:
        supervisor.start("broken")
        until(lambda: supervisor.sight()["broken"].state == "FATAL")
        assert "No such file" in (open_folder / "log/broken.log").read_text()


def test_killing_supervisord_ends_its_programs_each_by_its_signal(open_folder: Path) -> None:
    (open_folder / "log").mkdir()
    plain, told = teller(open_folder)
    asked = open_folder / "asked"
    script = (
        "import signal, sys, pathlib;"
        "signal.signal(signal.SIGINT, lambda *_: (pathlib.Path(sys.argv[1]).touch(), sys.exit()));"
        "pathlib.Path(sys.argv[1] + '.up').touch(); signal.pause()"
    )
    gentle = Program(
        "gentle", [sys.executable, "-c", script, str(asked)], stop_seconds=10, death_signal=signal.SIGINT
    )
    supervisor = Supervisor(open_folder, [plain, gentle], {})
    try:
        supervisor.await_up()
        supervisor.start("teller")
        supervisor.start("gentle")
        until(lambda: told.exists() and asked.with_name("asked.up").exists())
        processes = [
            process for name in ("teller", "gentle") for process in family(supervisor.sight()[name].pid)
        ]
        os.kill(processes[0].ppid(), signal.SIGKILL)
        until_all_gone(processes)
        until(asked.exists)
        with pytest.raises(SupervisorLost):
            supervisor.sight()
    finally:
        supervisor.shut_down()


TALKS = """
import sys, time
from pathlib import Path
count = Path(sys.argv[1])
number = 0
while True:
    number += 1
    print("line", number, flush=True)
    count.with_suffix(".new").write_text(str(number))
    count.with_suffix(".new").replace(count)
    time.sleep(0.02)
"""


def test_a_full_disk_ends_no_supervisord_and_its_logs_go_on_after(open_folder: Path) -> None:
    """As far as supervisord sees it: no file may grow."""
    folder = open_folder / ".ballast"
    folder.mkdir()
    script, count = folder / "talks.py", folder / "count"
    script.write_text(TALKS)
    program = Program("talker", [sys.executable, str(script), str(count)], stop_seconds=10)
    log = folder / "log" / "talker.log"
    with supervised(folder, [program]) as supervisor:
        supervisor.start("talker")
        until(lambda: log.exists() and b"line 5\n" in log.read_bytes())
        pid = psutil.Process(supervisor.sight()["talker"].pid).ppid()
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        said = int(count.read_text())
        until(lambda: int(count.read_text()) > said + 50)
        assert supervisor.sight()["talker"].state in {"STARTING", "RUNNING"}
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        lately = f"line {int(count.read_text()) + 20}\n".encode()
        until(lambda: lately in log.read_bytes())
