"""Ballast as those have it who install it: the wheel, in an environment of its own, run from any folder.

What Ballast depends on is not installed again: the environment sees the packages of the Python that runs the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
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


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("ballast-*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Installed:
    """In an environment that has nothing else of its own."""
    venv.create(folder)
    python = folder / "bin/python"
    _pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-compile", str(wheel))
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # Not before: pip would take a Ballast that is installed there for one to replace.
    (site_packages / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Installed(folder)


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
