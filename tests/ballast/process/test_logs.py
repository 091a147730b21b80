"""Logs as machines and as people read them, of a process of its own: the form depends on where its stderr goes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

from ballast.queueing.envelope import reference_of
from devstack.stack import ROOT

PROGRAM = """
import logging, structlog
from ballast.process.logs import configure_logging
configure_logging()
structlog.contextvars.bind_contextvars(job_id="123-4-5", update_id=4, attempt=2)
structlog.get_logger("ours").info("claimed", kind="balances.show")
logging.getLogger("a.library").warning("it says %s", "something")
try:
    raise ValueError("a defect")
except ValueError:
    structlog.get_logger("ours").exception("tripped")
"""


def test_a_machine_gets_one_json_object_a_line_from_us_and_from_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    ours, library, tripped = map(json.loads, done.stderr.splitlines())
    for line in (ours, library, tripped):
        assert (line["job_id"], line["update_id"], line["attempt"]) == ("123-4-5", 4, 2)
    assert ours["reference"] == reference_of("123-4-5")
    assert (ours["event"], ours["kind"], ours["level"]) == ("claimed", "balances.show", "info")
    assert (library["event"], library["logger"]) == ("it says something", "a.library")
    assert "ValueError: a defect" in tripped["exception"]
    assert done.stdout == ""


def test_a_person_at_a_terminal_gets_columns() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, stderr=theirs, check=True, timeout=60)
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    first = shown.splitlines()[0]
    assert "claimed" in first
    assert "job_id" in first
    assert not first.lstrip().startswith("{")


def test_steps_are_logged_by_those_who_ask_for_them_and_libraries_are_not() -> None:
    steps = """
import logging, structlog
from ballast.process.logs import configure_logging
for loglevel in (logging.WARNING, logging.DEBUG):
    configure_logging(loglevel=loglevel)
    structlog.get_logger("workers.ours").debug("step", of=loglevel)
    structlog.get_logger("workers.ours").info("done", of=loglevel)
    logging.getLogger("a.library").debug("noise")
"""
    done = subprocess.run(
        [sys.executable, "-c", steps], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    lines = map(json.loads, done.stderr.splitlines())
    assert [(line["event"], line["of"]) for line in lines] == [("done", 30), ("step", 10), ("done", 10)]
