"""Whatever stands in a setting, no program ends with a traceback, and none shows a secret."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dbcore.bound_bot import bind
from tests.harness.programs import run_program

CELERY = ["-m", "celery", "-A", "workers"]
PROGRAMS = {
    "dbcore": ["-m", "dbcore", "status"],
    "frontend": ["-m", "bot_frontend"],
    "workers": ["-m", "workers", "dead-letters", "list"],
    "worker": [*CELERY, "worker", "--concurrency", "1"],
    "beat": [*CELERY, "beat"],
    "flower": [*CELERY, "flower"],
    "make run": ["-m", "devstack", "run"],
}
SECRET = "hunter2"
BAD = {
    "REDIS_URL": (f"redis://:{SECRET}/tail@127.0.0.1:1/0", "REDIS_URL: a / in the password is written %2F"),
    "DATABASE_URL": (f"postgresql://u:{SECRET}@h:{SECRET}/d", "the port is not a number"),
    "OPS_TOKEN": (SECRET, "OPS_TOKEN: expected at least 16 characters"),
}


def run(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_program(PROGRAMS[program], folder, **environment)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_refuses_bad_values_in_a_line_each(program: str, tmp_path: Path) -> None:
    done = run(tmp_path, program, **{option: value for option, (value, _) in BAD.items()})
    said = done.stdout + done.stderr
    assert done.returncode not in {0, -9}
    assert "Traceback" not in said
    assert SECRET not in said
    for _, expected in BAD.values():
        assert expected in said
    assert len(said.splitlines()) == len(BAD)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_refuses_a_file_that_is_no_text(program: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"OPS_PORT=\xff")
    done = run(tmp_path, program)
    assert done.returncode not in {0, -9}
    assert (done.stdout + done.stderr).strip().endswith(".env cannot be read: it is not UTF-8")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["frontend", "worker"])
def test_a_database_that_this_redis_has_not_is_refused_at_the_start(
    program: str, redis_url: str, tmp_path: Path
) -> None:
    done = run(tmp_path, program, REDIS_URL=redis_url.rpartition("/")[0] + "/99999")
    assert done.returncode not in {0, -9}
    assert "REDIS_URL: this Redis has no database 99999" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["frontend", "worker"])
def test_what_does_not_pay_out_is_refused_at_the_start(program: str, redis_url: str, tmp_path: Path) -> None:
    options = {"REDIS_URL": redis_url, "TELEGRAM_BOT_TOKEN": "222:a", "WITHDRAWALS_BY": "paypal"}
    done = run(tmp_path, program, **options)
    assert done.returncode not in {0, -9}
    assert "WITHDRAWALS_BY: expected what is set up and pays out (manual); got 'paypal'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_of_another_bot_is_refused_at_a_worker_s_start(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    bind(database_url, 111)
    done = run(tmp_path, "worker", REDIS_URL=redis_url, DATABASE_URL=database_url, TELEGRAM_BOT_TOKEN="222:a")
    assert done.returncode not in {0, -9}
    assert "DATABASE_URL: this database belongs to bot 111" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_option_is_told_by_what_is_started(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HEALTH_PROBE_SECOND=5\n")
    done = run(tmp_path, "dbcore")
    assert (
        "HEALTH_PROBE_SECOND in .env is not an option and is ignored; did you mean HEALTH_PROBE_SECONDS?"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
