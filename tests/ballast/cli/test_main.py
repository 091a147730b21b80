"""The command `ballast`: what it says, and that it says it at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import ballast
from ballast.cli import database, processes
from ballast.cli.main import cli
from ballast.queueing.queues import QUEUES, WORKERS
from dbcore.breaker import override
from devstack import programs
from devstack.ports import free_port
from devstack.stack import ROOT
from tests.ballast.reference import PAGE, commands, rendered

WRONG_USAGE = {
    "frob": "No such command 'frob'",
    "worker --frob": "No such option: --frob. Celery's own options go after --",
    "worker users": "expected main, bulk, light, or options of Celery after --; got 'users'",
    "worker main light": "expected options of Celery after --; got 'light'",
    "worker --queues users,frob": f"expected some of {', '.join(QUEUES)}; got 'frob'",
    "worker --concurrency 0": "0 is not in the range x>=1",
    "flower --port 99999": "99999 is not in the range 1<=x<=65535",
    "breaker shut": "'shut' is not one of 'open', 'close', 'auto'",
    "jobs show": "Missing argument 'REFERENCE'",
    "broadcast start": "expected one of --text, --text-file and --copy; got none of them",
    "broadcast start --text a --copy 1 2": "expected one of --text, --text-file and --copy; got --text and --copy",
    "broadcast start --ids 1 x": "'x' is not a valid integer",
    "broadcast pause seven": "'seven' is not a valid integer",
    "import": "Missing option '--source'",
    "import --source x": "expected SOURCE, or --query for the database of DATABASE_URL; got neither",
    "import people.csv --source x --undo": "--undo goes only with --source and --dry-run",
    "import --source x --undo --zone UTC": "--undo goes only with --source and --dry-run",
    "import --source x --undo --map a=b": "--undo goes only with --source and --dry-run",
    "import --source x --undo --minor": "--undo goes only with --source and --dry-run",
    "import --source x --undo --skip-invalid": "--undo goes only with --source and --dry-run",
    "import --source x --undo --negative-as-zero": "--undo goes only with --source and --dry-run",
    "import --source x --undo --new-source": "--undo goes only with --source and --dry-run",
    "import people.csv --source x --history a --history-query b": "expected one of --history and --history-query",
    "import people.csv --source x --history-query b": "--history-query asks the same database as --query",
    "import people.csv --source x --map balance": "--map: expected COLUMN=YOURS; got 'balance'",
    "export": "Missing argument 'FOLDER'",
    "export out --format xml": "'xml' is not one of 'csv', 'jsonl'",
    "export out --verify --format csv": "--verify goes only with FOLDER",
    "export out --person 1 --table a": "--person goes only with FOLDER",
    "restore": "Missing argument 'BACKUP'",
    "restore latest --check --overwrite": "--check goes without --into, --overwrite and --no-inbox",
    "telegram": "Missing option '--data'",
    "user": "Missing argument 'WHOM'",
    "users --frozen maybe": "Got unexpected extra argument (maybe)",
    "transfers --status lost": "'lost' is not one of 'applied', 'rejected'",
    "credit @bob 5": "Missing option '--reason'",
    "reverse none --reason x": "'none' is not a valid integer range",
    "completion csh": "'csh' is not one of 'bash', 'zsh', 'fish'",
}

# Every command's help and every complaint in one process, which then says what it has imported.
SAY_ALL = """
import sys
from click.testing import CliRunner
from ballast.cli.main import cli
before = {name.partition(".")[0] for name in sys.modules}
for line in sys.stdin.read().splitlines():
    ended = CliRunner().invoke(cli, line.split(), prog_name="ballast")
    assert ended.exit_code in (0, 2), (line, ended.output, ended.exception)
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - sys.stdlib_module_names - {"__main__"}))
"""


def said(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ballast", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_version_and_complaints_import_click_alone() -> None:
    """So they answer as fast as click: 1,500 modules are imported by a worker."""
    lines = [f"{name.removeprefix('ballast')} --help" for name, _ in commands(cli, ("ballast",))]
    lines += ["--version", "completion bash", *WRONG_USAGE]
    lines.remove(" celery --help")  # Celery's own
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]}\n{SAY_ALL}"],
        input="\n".join(lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ballast", "click"]


def test_importing_ballast_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import ballast; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - sys.stdlib_module_names == {"ballast"}


@pytest.mark.parametrize(("line", "complaint"), WRONG_USAGE.items())
def test_wrong_usage_says_what_was_expected(line: str, complaint: str) -> None:
    ended = CliRunner().invoke(cli, line.split(), prog_name="ballast")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert complaint in ended.stderr
    assert ended.stderr.startswith("Usage: ballast ")


def test_what_is_written_twice_is_the_same() -> None:
    assert tuple(override.OVERRIDES) == database.WORDS


def test_several_values_may_follow_one_option() -> None:
    start = cli.commands["broadcast"].commands["start"]  # type: ignore[attr-defined]  # of a group
    line = ["--copy", "-1001", "5", "6", "--ids", "1", "2", "--ids", "3", "--canary", "4"]
    given = start.make_context("start", line).params
    assert (given["copy"], given["ids"], given["canary"]) == ((-1001, 5, 6), (1, 2, 3), 4)


def test_every_command_and_option_has_its_help() -> None:
    for name, command in commands(cli, ("ballast",)):
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.show_default:
                assert parameter.help, f"{name} {parameter.name}"


def test_a_shell_completes_commands_options_and_words() -> None:
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        done = said(_BALLAST_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
        return [found.partition(",")[2] for found in done.stdout.splitlines()]

    assert completed("ballast br") == ["breaker", "broadcast"]
    assert completed("ballast breaker ") == ["open", "close", "auto"]
    assert completed("ballast jobs list --j") == ["--json"]
    assert "_BALLAST_COMPLETE=bash_complete" in said("completion", "bash").stdout


def test_the_version_is_the_package_s() -> None:
    assert said("--version").stdout == f"ballast {ballast.__version__}\n"


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == rendered(), "run `python -m tests.ballast.reference`"


def test_what_fails_is_said_in_one_line_with_its_exit_status(tmp_path: Path, redis_url: str) -> None:
    nowhere = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d"
    refused: tuple[tuple[tuple[str, ...], dict[str, str], str, int], ...] = (
        (
            ("jobs", "list"),
            {"DATABASE_URL": nowhere},
            "ballast jobs list: the database does not answer",
            2,
        ),
        (("status",), {}, "DATABASE_URL is not set", 2),
        (
            ("jobs", "show", "x"),
            {"DATABASE_URL": nowhere, "REDIS_URL": redis_url},
            "ballast: expected a reference",
            1,
        ),
    )
    for arguments, environment, line, status in refused:
        done = said(*arguments, PYTHONPATH=str(ROOT), **environment)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert done.stderr.startswith(line)
        assert len(done.stderr.splitlines()) == 1
        assert "hunter2" not in done.stderr


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_by_name_is_the_one_that_ballast_run_starts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[str] = []
    monkeypatch.setattr(processes, "_become_celery", lambda *arguments: became.extend(arguments))
    CliRunner().invoke(cli, ["worker", name], catch_exceptions=False)
    assert became == programs.worker(name).argv[-len(became) :]
    became.clear()
    CliRunner().invoke(
        cli, ["worker", name, "-n", "second", "-c", "7", "--", "-l", "debug"], catch_exceptions=False
    )
    queues, _ = WORKERS[name]
    assert became == ["worker", "-n", "second@%h", "-Q", queues, "--concurrency", "7", "-l", "debug"]
