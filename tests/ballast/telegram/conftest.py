from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.telegram.process import TelegramProcess
from tests.harness.servers import running_telegram


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("telegram")) as server:
        yield server
