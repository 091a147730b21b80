"""What is in the wheel."""

from __future__ import annotations

import subprocess
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import ballast
from devstack.stack import ROOT

PACKAGES = ("ballast", "bot_frontend", "workers", "dbcore", "devstack")


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(contents: list[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    expected = {name for name in listed if (ROOT / name).exists()}
    packed = {name for name in contents if ".dist-info/" not in name}
    assert packed == expected | {"devstack/owner.sql"}
    assert {".sql", ".lua", ".js", ".css", ".html", ".svg"} <= {Path(name).suffix for name in packed}


def test_every_package_says_that_it_is_typed(contents: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(contents)


def test_the_wheel_says_its_version_and_its_license(contents: list[str], metadata: Message) -> None:
    assert metadata["Version"] == ballast.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    (text,) = (name for name in contents if name.endswith("/licenses/LICENSE"))
    assert text


def test_it_has_the_extras_that_the_documents_name(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "backup",
        "dev",
        "embedded",
        "flask",
        "flower",
        "testing",
    }
