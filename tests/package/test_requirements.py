"""pyproject.toml says what Ballast depends on, the requirements' files pin it, and the code imports it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devstack.stack import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("ballast", "bot_frontend", "workers", "dbcore", "devstack")
OURS = {*PACKAGES, "tests", "benchmarks", "examples"}

NOT_IMPORTED = {
    "itsdangerous": "Starlette imports it for signed sessions",
    "tzdata": "zoneinfo reads it",
    "aiolimiter": "python-telegram-bot imports it",
    "gevent": "a test runs a process under it",
    "gunicorn": "a test runs the Flask example by it",
    "psycogreen": "a test runs a process with it",
    "hatchling": "builds the wheel",
    "import-linter": "make check runs it",
    "mypy": "make check runs it",
    "pip-audit": "make check runs it",
    "ruff": "make check runs it",
    "pytest-timeout": "a plugin of pytest",
    "schemathesis": "a test runs its command",
    "sphinx": "a test builds the documentation with it",
    "myst-parser": "docs/conf.py names it",
    "furo": "docs/conf.py names it",
    "types-psutil": "mypy reads it",
    "types-psycopg2": "mypy reads it",
}


def declared(*extras: str) -> dict[str, Requirement]:
    """The dependencies and those of the extras, with what these refer to."""
    found: dict[str, Requirement] = {}
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, lines):
        if requirement.name == "ballast":
            found |= declared(*requirement.extras)
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pinned(file: str) -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(
    ("file", "extra"),
    [("requirements.txt", "embedded"), ("requirements.txt", "backup"), ("requirements-dev.txt", "dev")],
)
def test_what_is_pinned_is_within_the_ranges(file: str, extra: str) -> None:
    pins = pinned(file)
    wanted = declared(extra)
    assert wanted.keys() <= pins.keys(), "run `make lock`"
    outside = {name: pins[name] for name in wanted if not wanted[name].specifier.contains(pins[name])}
    assert outside == {}, "run `make lock`"


def test_what_runs_is_what_was_tested() -> None:
    assert pinned("requirements.txt").items() <= pinned("requirements-dev.txt").items()


def test_every_dependency_has_a_range() -> None:
    for name, requirement in declared("dev").items():
        assert requirement.specifier, name
        assert not any(part.operator == "==" for part in requirement.specifier), name


def imported(*folders: str) -> set[str]:
    """The distributions that the files import; where a name has several, all of them."""
    homes = packages_distributions()
    found: set[str] = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import():
                    names = [alias.name for alias in node.names]
                case ast.ImportFrom(module=str(module), level=0):
                    names = [module]
                case _:
                    continue
            tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS
            found |= {canonicalize_name(home) for top in tops for home in homes.get(top, [top])}
    return found


def test_every_dependency_is_imported_by_some_file() -> None:
    unused = declared("dev").keys() - imported(*sorted(OURS))
    assert unused == NOT_IMPORTED.keys()


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("dbcore", ("flask",)),
        ("ballast", ("backup", "testing")),
        ("bot_frontend", ()),
        ("workers", ("flower",)),
        ("devstack", ("embedded",)),
    ],
)
def test_a_package_depends_on_what_it_imports(folder: str, extras: tuple[str, ...]) -> None:
    assert imported(folder) <= declared(*extras).keys()


def test_the_image_installs_what_the_servers_do_not_bring() -> None:
    """It leaves out the embedded servers by name; these names are in the file."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    (names,) = re.findall(r"grep -vE '\^\((.*)\)=='", dockerfile)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert all(any(line.startswith(f"{name}==") for line in lines) for name in names.split("|"))
