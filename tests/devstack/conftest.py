"""Folders and interpreters for tests that start servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbcore.settings import Settings
from devstack.parent_death import tied_to_parent
from devstack.reachable import can_enter, ids_of

ROOT = Path(__file__).parents[2]
ORDINARY_USER = "nobody"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a space in its name that others may pass through; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="ballast test "))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bare_environment() -> dict[str, str]:
    """The environment without any option of Ballast, and with our packages to be found from any folder."""
    options = {name.upper() for name in Settings.model_fields}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in options and not name.startswith("BALLAST_")
    }
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])}


@pytest.fixture
def ordinary_user_python() -> str:
    """A Python that an ordinary user can run, of our version, so that our packages work in it.

    Started as an ordinary user the tests need none: every one of them is a test as an ordinary user.
    """
    if os.geteuid() != 0:
        pytest.skip("these tests run as an ordinary user already")
    packages = Path(psycopg2_folder())
    if not can_enter(packages, ORDINARY_USER) or not can_enter(ROOT, ORDINARY_USER):
        pytest.skip(f"{ORDINARY_USER} cannot enter {packages} or {ROOT}")
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{wanted}", "/usr/bin/python3"):
        command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(
            tied_to_parent(command, user=ORDINARY_USER),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.stdout.strip() == wanted:
            return python
    pytest.skip(f"no Python {wanted} on this machine that {ORDINARY_USER} can run")


def psycopg2_folder() -> str:
    """Where the packages of this environment are."""
    import psycopg2

    return str(Path(psycopg2.__file__).parents[1])


@pytest.fixture
def users_folder(open_folder: Path) -> Path:
    """A folder of the ordinary user's own."""
    folder = open_folder / "home"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, *ids_of(ORDINARY_USER))
    return folder
