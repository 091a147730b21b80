"""Which tests of a parallel run belong to one process, and in which order they begin.

A file stays together, so that what it starts once is not started by every process, and so does a folder that shares a
stack. The tests of a file that share nothing are dealt one by one. What takes long begins first: what ends a run is
short, and no process is left alone with a long test.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
WHOLE = ("tests/acceptance/one_bot", "tests/acceptance/broadcasts", "tests/acceptance/failures")
"""Folders that share a stack."""
DEALT = ("tests/acceptance", "tests/chaos", "tests/outages", "tests/devstack")
"""Folders whose tests start servers and processes, mostly for one test."""
LONG_FIRST = (
    "tests/outages",
    "tests/chaos/test_short",
    *WHOLE,
    *DEALT,
    "tests/package",
    "tests/bot_frontend/test_page",
    "tests/ballast/test_pytest_plugin",
    "tests/workers",
    "tests/ballast/inbox",
    "tests/conformance",
    "tests/dbcore",
)


class Scheduler(LoadScopeScheduling):
    """xdist's, by our scopes and in our order."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@cache
def scope_of(nodeid: str) -> str:
    """The tests of one scope run one after the other in one process."""
    file = nodeid.partition("::")[0]
    for folder in WHOLE:
        if file.startswith(f"{folder}/"):
            return folder
    return nodeid if file.startswith(DEALT) and not _shares(file) else file


@cache
def _shares(file: str) -> bool:
    """Whether something lives as long as the file's tests."""
    text = (ROOT / file).read_text()
    return 'scope="module"' in text or "stack_of_file(" in text


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    def rank(item: pytest.Item) -> int:
        return next((i for i, part in enumerate(LONG_FIRST) if item.nodeid.startswith(part)), len(LONG_FIRST))

    return sorted(items, key=rank)
