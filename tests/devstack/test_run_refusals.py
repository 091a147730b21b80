"""What `make run` cannot start with is told in one line, and nothing is started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from dbcore.settings import Settings
from devstack.kill_workers import kill_workers
from devstack.options import RunOptions, StartRefused, check_ports
from devstack.parent_death import tied_to_parent
from devstack.plan import plan
from devstack.ports import free_port
from devstack.state_dir import StateDir
from tests.devstack.conftest import ORDINARY_USER

PORTS = ["OPS_PORT", "FLOWER_PORT", "SIMULATOR_PORT", "BALLAST_POSTGRES_PORT", "BALLAST_REDIS_PORT"]
RUN = ["-m", "devstack", "run"]


def refused(
    folder: Path, environment: dict[str, str], options: dict[str, str], command: list[str] | None = None
) -> list[str]:
    """The lines of a run that was refused."""
    done = subprocess.run(
        command or [sys.executable, *RUN],
        cwd=folder,
        env=environment | options,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert not (folder / ".ballast" / "supervisord.pid").exists()
    here = str(folder / ".ballast")
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if here in str(process.info["cmdline"])
    ]
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("option", "value", "expectation"),
    [
        ("OPS_PORT", "none", "OPS_PORT: expected a whole number"),
        ("BALLAST_POSTGRES_PORT", "0", "BALLAST_POSTGRES_PORT: expected at least 1"),
        ("BALLAST_REDIS_PORT", "x", "BALLAST_REDIS_PORT: expected a whole number"),
        ("ADMIN_IDS", "bob", "ADMIN_IDS: expected Telegram user ids"),
        ("DATABASE_URL", "mysql://h/d", "DATABASE_URL: expected postgresql://"),
        (
            "WITHDRAWALS_BY",
            "paypal",
            "WITHDRAWALS_BY: expected what is set up and pays out (manual); got 'paypal'",
        ),
        ("TELEGRAM_API_URL", "http://h", "TELEGRAM_API_URL: expected together with TELEGRAM_BOT_TOKEN"),
    ],
)
def test_a_bad_setting_is_one_line_naming_it(
    option: str, value: str, expectation: str, open_folder: Path, bare_environment: dict[str, str]
) -> None:
    (line,) = refused(open_folder, bare_environment, {option: value})
    assert line.startswith(expectation)


@pytest.mark.parametrize("option", PORTS)
def test_a_taken_port_is_one_line_naming_its_option(
    option: str, open_folder: Path, bare_environment: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {name: str(free_port()) for name in PORTS} | {option: str(port)}
        (line,) = refused(open_folder, bare_environment, ports)
    assert line.startswith(f"{option}: cannot listen on 127.0.0.1:{port} (Address already in use)")


def test_one_port_for_two_services_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"^FLOWER_PORT: port 8080 is OPS_PORT's already"):
        check_ports({"OPS_PORT": ("127.0.0.1", 8080), "FLOWER_PORT": ("127.0.0.1", 8080)})


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"^OPS_PORT: cannot listen on 203\.0\.113\.1:8080"):
        check_ports({"OPS_PORT": ("203.0.113.1", 8080)})


def test_a_second_run_in_the_folder_is_one_line_naming_the_first(
    open_folder: Path, bare_environment: dict[str, str]
) -> None:
    with StateDir(open_folder).held():
        (line,) = refused(open_folder, bare_environment, {})
    assert line.startswith(f"Ballast is running in this folder already (process {os.getpid()})")


def test_a_folder_that_cannot_be_written_is_one_line(
    open_folder: Path, bare_environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    command = [sys.executable, *RUN]
    if os.geteuid() == 0:  # root may write everywhere
        command = tied_to_parent([request.getfixturevalue("ordinary_user_python"), *RUN], user=ORDINARY_USER)
    open_folder.chmod(0o511)
    (line,) = refused(open_folder, bare_environment, {}, command)
    open_folder.chmod(0o711)
    assert line.startswith(f"{open_folder}/.ballast cannot be written (Permission denied)")


def test_a_file_in_the_folders_place_is_one_line(open_folder: Path, bare_environment: dict[str, str]) -> None:
    (open_folder / ".ballast").touch()
    (line,) = refused(open_folder, bare_environment, {})
    assert line.startswith(f"{open_folder}/.ballast cannot be written (")


@pytest.mark.parametrize("held", [False, True])
def test_without_workers_that_run_here_none_is_killed(held: bool, open_folder: Path) -> None:
    """Also where a `make run` that ended left its process id, which may be anybody's by now."""
    with (
        StateDir(open_folder).held() if held else contextlib.nullcontext(),
        pytest.raises(StartRefused, match="no workers of `make run` or `ballast run` run in this folder"),
    ):
        kill_workers(open_folder)


def test_the_local_telegrams_token_is_made_up_once(open_folder: Path) -> None:
    state_dir = StateDir(open_folder)
    with state_dir.held():
        token = state_dir.telegram_token()
        assert StateDir(open_folder).telegram_token() == token
        assert (state_dir.folder / "telegram-token").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_run_left_behind_is_not_taken_for_settings(open_folder: Path) -> None:
    state_dir = StateDir(open_folder)
    with state_dir.held():
        state_dir.remember_running({"REDIS_URL": "redis://127.0.0.1:1/0"})
        assert (state_dir.folder / "running.env").stat().st_mode & 0o777 == 0o600
    with state_dir.held():
        assert not (state_dir.folder / "running.env").exists()


def test_the_local_telegram_is_not_put_before_a_database_of_ones_own(
    open_folder: Path, bare_environment: dict[str, str]
) -> None:
    (line,) = refused(open_folder, bare_environment, {"DATABASE_URL": "postgresql://u:hunter2@192.0.2.1/d"})
    assert line.startswith("TELEGRAM_BOT_TOKEN is not set, but DATABASE_URL is")
    assert "hunter2" not in line
    options = RunOptions(_env_file=None, local_telegram=True)
    settings = Settings(_env_file=None, database_url=SecretStr("postgresql://u@192.0.2.1/d"))
    assert plan(settings, options, open_folder, local_token="1:a").telegram_token == "1:a"


def test_no_secret_is_among_the_arguments_of_a_process(open_folder: Path) -> None:
    settings = Settings(_env_file=None, ops_token=SecretStr("hunter2-hunter2-hunter2"))
    ours = plan(settings, RunOptions(_env_file=None), open_folder, local_token="1:hunter2")
    with StateDir(open_folder).held():
        programs = ours.prepare()
    words = [word for program in programs for word in program.argv]
    assert not [word for word in words if "hunter2" in word or ours.flower_auth.partition(":")[2] in word]
