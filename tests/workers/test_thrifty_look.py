"""The look of HEALTH_PROBE_MODE=thrifty goes where libpq would connect to."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from devstack.ports import free_port
from tests.conftest import MakeSettings
from workers.tasks import health


def look(make_settings: MakeSettings, url: str) -> dict[str, Any]:
    given = make_settings(database_url=SecretStr(url)).require("database_url")
    return health._listens(given)


@pytest.mark.parametrize(
    "url", ["h:{dead},127.0.0.1:{alive}/d", "/d?host=127.0.0.1:{dead}&host=127.0.0.1:{alive}"]
)
def test_one_of_several_hosts_that_listens_is_enough(url: str, make_settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        alive = server.getsockname()[1]
        found = look(make_settings, "postgresql://" + url.format(dead=free_port(), alive=alive))
    assert found["ok"]


def test_a_socket_is_knocked_at_as_one(make_settings: MakeSettings) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        url = f"postgresql://u:p@/d?host={folder}&port=7"
        assert not look(make_settings, url)["ok"]
        server.bind(str(Path(folder) / ".s.PGSQL.7"))
        server.listen()
        assert look(make_settings, url)["ok"]


def test_none_that_listens_is_an_outage(make_settings: MakeSettings) -> None:
    found = look(make_settings, f"postgresql://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/d")
    assert (found["ok"], found["kind"], found["error"]) == (False, "outage", "ConnectionRefusedError")
