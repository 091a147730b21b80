"""REDIS_URL with TLS as docs/deploy.md has it: authority and client's certificate by the address, for both clients."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from dbcore.redis_client import connect_redis
from dbcore.redis_url import read_redis_url
from devstack.redis import EmbeddedRedis
from tests.conftest import MakeSettings
from tests.workers.tls import certificates, door_to

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def door(papers: Path, redis_server: EmbeddedRedis) -> Iterator[str]:
    """The port of a Redis that speaks TLS and lets in who has a certificate of the authority's."""
    with door_to(redis_server.port, papers, ssl.CERT_REQUIRED) as port:
        yield f"{redis_server.login}@127.0.0.1:{port}"


def address(door: str, papers: Path, *parts: str) -> str:
    files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
    return f"rediss://{door}/0?" + urlencode({part: papers / files[part] for part in parts})


def ping_as_broker(url: str) -> None:
    address = read_redis_url(url)
    options = {"ssl": address.tls_options, "transport_options": {"max_retries": 1}}
    with Connection(address.for_celery, **options) as broker:  # type: ignore[no-untyped-call]  # no types
        broker.default_channel.client.ping()


def test_the_authority_and_the_clients_certificate_come_by_the_address(
    door: str, papers: Path, make_settings: MakeSettings
) -> None:
    url = address(door, papers, "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    assert connect_redis(make_settings(redis_url=url)).ping()
    ping_as_broker(url)


@pytest.mark.parametrize("parts", [("ssl_ca_certs",), ("ssl_certfile", "ssl_keyfile")])
def test_without_the_one_or_the_other_nobody_talks(
    parts: tuple[str, ...], door: str, papers: Path, make_settings: MakeSettings
) -> None:
    url = address(door, papers, *parts)
    with pytest.raises(redis.ConnectionError):
        connect_redis(make_settings(redis_url=url)).ping()
    with pytest.raises((redis.ConnectionError, OperationalError)):
        ping_as_broker(url)
