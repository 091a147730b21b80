"""examples/flask_app as its README runs it: gunicorn, Ballast's wheel in an environment of its own, and a PostgreSQL
that fails in every way that it can.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, FaultProxy, On, Rule, Side, frozen_server
from tests.dbcore.conftest import eventually
from tests.harness.wheels import Installed, copy_example

REQUEST_SECONDS_MAX = 60.0  # a hang, on a slow machine


@dataclass
class Answer:
    status: int
    text: str
    retry_after: str | None

    @property
    def points(self) -> int:
        return int(json.loads(self.text)["points"])


class Shop:
    """The running app."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str) -> Answer:
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310  # our own
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS_MAX) as answer:  # noqa: S310
                return Answer(answer.status, answer.read().decode(), None)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(), error.headers["Retry-After"])

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def is_well(self) -> bool:
        return self.get("/users/ada").status == 200

    def listens(self) -> bool:
        try:
            return self.get("/").status == 200
        except OSError:
            return False


@pytest.fixture
def proxy(victim: EmbeddedPostgres) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", victim.port, login=victim.login) as proxy:
        yield proxy


@pytest.fixture
def database(victim: EmbeddedPostgres) -> Iterator[str]:
    run_as_admin(victim, "CREATE DATABASE shop OWNER ballast")
    yield "shop"
    run_as_admin(victim, "DROP DATABASE shop WITH (FORCE)")


@pytest.fixture
def shop(installed: Installed, proxy: FaultProxy, database: str, tmp_path: Path) -> Iterator[Shop]:
    port = free_port()
    run: dict[str, Any] = {
        "cwd": copy_example("flask_app", installed, tmp_path),
        "env": {**installed.environment, "DATABASE_URL": proxy.url_of(database)},
    }
    flask = [installed.python, "-m", "flask", "--app", "shop"]
    subprocess.run([*flask, "create-tables"], check=True, timeout=60, **run)
    arguments = f"-m gunicorn --worker-class gthread --threads 8 --bind 127.0.0.1:{port} shop:create_app()"
    with (tmp_path / "gunicorn.log").open("w") as log:
        server = subprocess.Popen([installed.python, *arguments.split()], stdout=log, stderr=log, **run)
    shop = Shop(port)
    try:
        eventually(shop.listens)
        yield shop
    finally:
        server.terminate()
        server.wait(30)
    assert "Traceback" not in (tmp_path / "gunicorn.log").read_text()


def run_as_admin(
    server: EmbeddedPostgres, statement: str, database: str = "postgres"
) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(server.admin_url_of(database))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def assert_unavailable(shop: Shop) -> None:
    """Each page as it is to be without its database."""
    for method, path in (("GET", "/users/ada"), ("POST", "/users/ada/points")):
        answer = shop.ask(method, path)
        assert (answer.status, "Nothing was changed" in answer.text) == (503, True), answer
        assert int(answer.retry_after or 0) >= 1
    front = shop.get("/")
    assert (front.status, "many" in front.text) == (200, True)


def assert_well_for_good(shop: Shop) -> None:
    eventually(shop.is_well)
    eventually(lambda: "customers: 1" in shop.get("/").text)
    assert all(shop.is_well() for _ in range(20))


def test_the_example_lives_through_all_that_its_database_does(
    shop: Shop, victim: EmbeddedPostgres, proxy: FaultProxy, database: str
) -> None:
    assert shop.ask("PUT", "/users/ada").status == 201
    assert shop.ask("POST", "/users/ada/points").points == 1
    assert_well_for_good(shop)
    assert shop.get("/users/nobody").status == 404
    assert victim.pid is not None

    with frozen_server(victim.pid):
        assert_unavailable(shop)
    assert_well_for_good(shop)

    victim.stop()
    assert_unavailable(shop)
    victim.start()
    assert_well_for_good(shop)

    # The connections that it has are not told.
    run_as_admin(victim, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    run_as_admin(
        victim, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    )
    eventually(shop.is_well)
    assert shop.ask("POST", "/users/ada/points").status == 503
    assert shop.is_well()
    run_as_admin(victim, f"ALTER DATABASE {database} RESET default_transaction_read_only")
    before = shop.get("/users/ada").points
    eventually(lambda: shop.ask("POST", "/users/ada/points").status == 200)
    assert shop.get("/users/ada").points == before + 1
    assert_well_for_good(shop)

    victim.kill()
    assert_unavailable(shop)
    victim.start()
    assert_well_for_good(shop)

    proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut()))
    before = shop.get("/users/ada").points
    unknown = shop.ask("POST", "/users/ada/points")
    assert (unknown.status, "could not confirm" in unknown.text) == (503, True)
    assert shop.get("/users/ada").points == before + 1
    assert_well_for_good(shop)

    # Nothing is left behind.
    eventually(
        lambda: (
            run_as_admin(
                victim,
                f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state LIKE 'idle in%'",
            )
            == [(0,)]
        )
    )
