"""Ballast as those have it who install it: the wheel, in an environment of its own, run from any folder.

What Ballast depends on is not installed again: the environment sees the packages of the Python that runs the tests.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbcore.settings import Settings
from devstack.stack import ROOT

_OPTIONS = {name.upper() for name in Settings.model_fields}


@dataclass(frozen=True)
class Installed:
    """An environment with Ballast in it."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin/python")

    @property
    def ballast(self) -> str:
        return str(self.folder / "bin/ballast")

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests, with nothing of Ballast in it."""
        return {name: value for name, value in os.environ.items() if name not in {*_OPTIONS, "PYTHONPATH"}}

    def run(self, *argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=cwd,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def build(parent: Path) -> Path:
    """The wheel of this checkout, made once in `parent`."""
    with made_once(parent / "wheel") as folder:
        if folder is not None:
            _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = (parent / "wheel").glob("ballast-*.whl")
    return wheel


def install(wheel: Path, parent: Path) -> Installed:
    """In an environment that has nothing else of its own, made once in `parent`."""
    with made_once(parent / "environment") as folder:
        if folder is not None:
            venv.create(folder)
            python = folder / "bin/python"
            _pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
            (site_packages,) = folder.glob("lib/python*/site-packages")
            # Not before: pip would take a Ballast that is installed there for one to replace.
            (site_packages / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(parent / "environment")


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """The folder if it is still to be made; None once it is, by whichever process."""
    done = folder.with_name(f"{folder.name} is made")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield None if done.exists() else folder
        done.touch()


def copy_example(name: str, installed: Installed, folder: Path) -> Path:
    """A folder of `examples` as its reader has it, copied out; the environment has what it asks for."""
    copy = folder / name
    shutil.copytree(ROOT / "examples" / name, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _pip(
        "--python", installed.python, "install", "--no-index", "-r", str(copy / "requirements.txt")
    )  # finds all there, or fails
    return copy


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
