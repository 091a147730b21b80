"""Programs that are forked behave as those that are started; what cannot be forked in this way is started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.parent_death import TIED_PID, tied_to_parent
from tests.harness import starter
from tests.harness.servers import AUTHORITY

PROGRAM = [sys.executable, "-m", "tests.harness.shown"]
CLOCKS = Path(__file__).with_name("clocks")
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture(autouse=True)
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the run has --real-starts."""
    monkeypatch.setattr(subprocess, "Popen", starter.Popen)
    monkeypatch.setattr(starter, "MODULES", (*starter.MODULES, PROGRAM[2]))


def say(*arguments: str, **how: Any) -> dict[str, dict[str, Any]]:
    options: dict[str, Any] = {"cwd": starter.ROOT, "env": ENVIRONMENT, "input": "to it", **how}
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=True, **options)
    assert done.stderr == "an error\n"
    said: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TZ": "Asia/Tokyo", "PYTHONPATH": f"/nowhere:{starter.ROOT}", "A_NAME": "ü\udce4"},
        {"PYTHONDONTWRITEBYTECODE": "1", "SSL_CERT_FILE": AUTHORITY, "LC_ALL": "C.UTF-8"},
    ],
)
@pytest.mark.parametrize("cwd", [starter.ROOT, None])
def test_a_forked_program_finds_all_as_a_started_one(
    environment: dict[str, str], cwd: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"env": {**ENVIRONMENT, **environment}, "cwd": cwd}
    monkeypatch.chdir(starter.ROOT)
    forked, again = say("a", "b c", **how), say("a", "b c", **how)
    monkeypatch.setattr(subprocess, "Popen", starter.Real)
    started = say("a", "b c", **how)
    assert (forked["own"]["forked"], started["own"]["forked"]) == (True, False)
    assert forked["same"] == again["same"] == started["same"]
    assert forked["own"]["random"] != again["own"]["random"]
    assert forked["own"]["bytes"] != again["own"]["bytes"]


def test_it_is_a_child_of_pytest_in_its_group_or_a_session_of_its_own() -> None:
    own = say()["own"]
    assert (own["parent"], own["group"], own["session"]) == (os.getpid(), os.getpgid(0), os.getsid(0))
    with subprocess.Popen(
        [*PROGRAM, "wait"], env=ENVIRONMENT, cwd=starter.ROOT, start_new_session=True
    ) as process:
        assert psutil.Process(process.pid).ppid() == os.getpid()
        process.kill()
    own = say(start_new_session=True)["own"]
    assert own["session"] == own["group"] != os.getsid(0)


def test_its_end_is_seen_as_that_of_any_child() -> None:
    def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=ENVIRONMENT,
            cwd=starter.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    assert ended("exit", "0").returncode == 0
    assert ended("exit", "7").returncode == 7
    failed = ended("fail")
    assert failed.returncode == 1
    assert failed.stdout.endswith("LookupError: as it was told\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "wait"],
        env=ENVIRONMENT,
        cwd=starter.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(number)
        assert process.wait() == -number


async def test_asyncio_starts_it_and_waits_for_it() -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, env=ENVIRONMENT, cwd=starter.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    said, _ = await process.communicate(b"to it")
    assert process.returncode == 0
    assert json.loads(said)["own"]["forked"]
    assert json.loads(said)["same"]["said"] == "to it"


def test_what_is_tied_to_its_parent_is_so_and_knows_it() -> None:
    done = subprocess.run(
        tied_to_parent(PROGRAM, parent=os.getpid()),
        env=ENVIRONMENT,
        cwd=starter.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    same = json.loads(done.stdout)["same"]
    assert int(same["environment"][TIED_PID])
    assert same["program"] == same["command line"] == PROGRAM

    someone_else = os.getppid()
    refused = subprocess.run(
        tied_to_parent(PROGRAM, parent=someone_else), env=ENVIRONMENT, cwd=starter.ROOT, check=False
    )
    assert refused.returncode == 128


def test_a_killed_pytest_takes_with_it_what_is_tied_to_it_and_the_starter(tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
from devstack.parent_death import tied_to_parent
from tests.harness import starter

starter.MODULES = ("tests.harness.shown",)
argv = tied_to_parent([*{PROGRAM}, "wait"], parent=os.getpid())
process = starter.Popen(argv, stdout=subprocess.PIPE, env={ENVIRONMENT})
process.stdout.readline()
print(process.pid, starter._starter._process.pid, flush=True)
process.wait()
"""
    parent = starter.Real([sys.executable, "-c", script], cwd=starter.ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(processes) == 2
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_threads_start_at_once(tmp_path: Path) -> None:
    ended: list[int] = []

    def start(status: int) -> None:
        argv = [*PROGRAM, "exit", str(status)]
        ended.append(subprocess.run(argv, env=ENVIRONMENT, cwd=starter.ROOT, check=False).returncode)

    say()  # the main thread has begun it
    threads = [threading.Thread(target=start, args=(status,)) for status in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [*range(8)]


@pytest.mark.parametrize(
    "unusual",
    [
        {"env": {**ENVIRONMENT, "BALLAST_ENV_FILE": "/dev/null"}},
        {"env": {**ENVIRONMENT, "PYTHONHASHSEED": "1"}},
        {"env": {**ENVIRONMENT, "SSL_CERT_FILE": "/etc/hosts"}},
        {"env": {**ENVIRONMENT, "PYTHONPATH": str(CLOCKS)}},
        {"preexec_fn": lambda: None},
        {"umask": 0o77},
    ],
)
def test_what_is_unusual_is_started(unusual: dict[str, Any]) -> None:
    assert say(**unusual)["own"]["forked"] is False


def test_an_app_of_an_environment_is_imported_after_the_fork() -> None:
    """What is imported before knows of no app."""
    argv = [sys.executable, "-m", "ballast", "settings"]
    environment = {**ENVIRONMENT, "BALLAST_APPS": "no.such.app"}
    done = subprocess.run(
        argv, env=environment, cwd=starter.ROOT, capture_output=True, text=True, check=False
    )
    assert "no.such.app" in done.stderr


def test_where_it_cannot_fork_a_program_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    say()
    monkeypatch.setattr(starter._Starter, "ask", lambda *_: 0)
    assert say()["own"]["parent"] == os.getpid()


def test_a_missing_folder_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.run(PROGRAM, env=ENVIRONMENT, cwd=tmp_path / "none", check=False)
