"""One REDIS_URL means the same to all who ask Redis: redis-py, Celery's kombu and Flower."""

from __future__ import annotations

import asyncio
import runpy
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.connection
import redis.utils
from celery import Celery
from flower.utils import broker as flower_broker
from kombu.exceptions import OperationalError

from dbcore.redis_client import connect_redis
from dbcore.settings import load_settings
from devstack.embedded import Command
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.conftest import MakeSettings
from tests.workers.tls import certificates, door_to

ROOT = Path(__file__).parents[2]


class OldRedis(EmbeddedRedis):
    """As before version 6: it knows no HELLO. It listens on a socket too."""

    @property
    def socket(self) -> Path:
        return self.data_dir / "socket"

    def command(self) -> Command:
        command = super().command()
        options = ["--rename-command", "HELLO", "", "--unixsocket", str(self.socket)]
        return Command([*command.argv, *options], command.env, command.user)

    def accepts(self) -> bool:
        with redis.Redis.from_url(self.url, protocol=2, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@pytest.fixture(scope="module")
def old_redis() -> Iterator[OldRedis]:
    folder = Path(tempfile.mkdtemp(prefix="ballast-old-redis-"))  # short: a socket's path may hold 107 bytes
    server = OldRedis(folder / "redis", free_port())
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def by_redis_py() -> None:
    client = connect_redis(load_settings())
    client.lpush("users", "a message")
    client.close()


def celery_app() -> Celery:
    """As every Celery process sets it up."""
    configuration = runpy.run_path(str(ROOT / "workers/celeryconfig.py"))
    app = Celery("test", set_as_current=False)
    app.conf.update({name: value for name, value in configuration.items() if not name.startswith("_")})
    return app


def by_celery() -> None:
    with celery_app().connection() as connection:
        connection.ensure_connection(max_retries=1)
        client: Any = connection.default_channel.client
        assert client.llen("users") >= 1


@contextmanager
def flowers_configuration() -> Iterator[None]:
    names = ("Redis", "RedisSsl", "RedisSocket")
    before = {name: getattr(flower_broker, name) for name in names}
    runpy.run_path(str(ROOT / "workers/flowerconfig.py"))
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(flower_broker, name, value)


def by_flower() -> None:
    """What its page Broker does."""
    app = celery_app()
    with flowers_configuration(), app.connection() as connection:
        broker: Any = flower_broker.Broker(
            connection.as_uri(include_password=True),
            broker_options=app.conf.broker_transport_options,
            broker_use_ssl=app.conf.broker_use_ssl,
        )
    (queue,) = asyncio.run(broker.queues(["users"]))
    assert queue["messages"] >= 1


CLIENTS = [by_redis_py, by_celery, by_flower]


@pytest.fixture(autouse=True)
def environment(make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests; `make_settings` has emptied the environment."""
    monkeypatch.chdir(tmp_path)
    for module in (redis.connection, redis.utils):  # where celeryconfig.py has another default
        monkeypatch.setitem(vars(module), "DEFAULT_RESP_VERSION", 3)


@pytest.mark.parametrize(
    "address", ["redis://{login}@127.0.0.1:{port}/3?protocol=2", "unix://{login}@{socket}?db=3&protocol=2"]
)
def test_a_redis_without_hello_and_a_socket_do_for_all(
    address: str, old_redis: OldRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "REDIS_URL", address.format(login=old_redis.login, port=old_redis.port, socket=old_redis.socket)
    )
    for ask in CLIENTS:
        ask()
    with redis.Redis.from_url(old_redis.url_of(3), protocol=2) as client:
        assert client.llen("users") >= 1
        client.delete("users")


def test_a_password_with_every_special_character_does_for_all(
    redis_server: EmbeddedRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_server.url) as admin:
        admin.acl_setuser("tester", enabled=True, passwords=["+p/#?@:% ss"], commands=["+@all"], keys=["*"])
        try:
            database = redis_url.rpartition("/")[2]
            monkeypatch.setenv(
                "REDIS_URL",
                f"redis://tester:p%2F%23%3F%40%3A%25%20ss@127.0.0.1:{redis_server.port}/{database}",
            )
            for ask in CLIENTS:
                ask()
        finally:
            admin.acl_deluser("tester")


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")


@pytest.fixture(scope="module")
def unknown_authority(tmp_path_factory: pytest.TempPathFactory, redis_server: EmbeddedRedis) -> Iterator[str]:
    """The login and address of a Redis whose certificate nobody here trusts."""
    papers = certificates(tmp_path_factory.mktemp("papers"))
    with door_to(redis_server.port, papers, ssl.CERT_NONE) as port:
        yield f"{redis_server.login}@127.0.0.1:{port}"


@needs_openssl
@pytest.mark.parametrize("query", ["", "?ssl_cert_reqs=required", "?ssl_cert_reqs=CERT_REQUIRED"])
def test_without_a_word_about_it_nobody_talks_to_a_redis_with_an_unknown_certificate(
    query: str, unknown_authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://{unknown_authority}/0{query}")
    for ask in CLIENTS:
        with pytest.raises((redis.ConnectionError, OperationalError), match=r"(?i)certificate"):
            ask()


@needs_openssl
@pytest.mark.parametrize("word", ["none", "NONE", "CERT_NONE", "ssl.CERT_NONE"])
def test_every_spelling_of_no_verification_means_that_to_all(
    word: str, unknown_authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://{unknown_authority}/0?ssl_cert_reqs={word}")
    for ask in CLIENTS:
        ask()
