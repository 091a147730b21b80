"""REDIS_URL with TLS as docs/deploy.md has it: authority and client's certificate by the address, for both clients.

The embedded server speaks no TLS, so a door that does stands before it and asks whoever comes for a certificate.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from dbcore.redis_client import connect_redis
from devstack.redis import EmbeddedRedis
from tests.conftest import MakeSettings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, ca.pem, and what it signed for server and client; each file with its key."""
    folder = tmp_path_factory.mktemp("papers")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, *("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority"))
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(
            folder, *("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        )
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl(folder, *("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem"))
    return folder


@pytest.fixture(scope="module")
def door(papers: Path, redis_server: EmbeddedRedis) -> Iterator[str]:
    """The port of a Redis that speaks TLS and lets in who has a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers / "server.pem", papers / "server.key")
    context.load_verify_locations(papers / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), closing(target):
            while data := source.recv(65536):
                target.sendall(data)

    def let_in(plain: socket.socket) -> None:
        with suppress(OSError):
            guest = context.wrap_socket(plain, server_side=True)
            host = socket.create_connection(("127.0.0.1", redis_server.port))
            threading.Thread(target=pass_on, args=(host, guest), daemon=True).start()
            pass_on(guest, host)

    def stand() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=let_in, args=(plain,), daemon=True).start()

    threading.Thread(target=stand, daemon=True).start()
    yield f"{redis_server.login}@127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def address(door: str, papers: Path, *parts: str) -> str:
    files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": "client.pem", "ssl_keyfile": "client.key"}
    return f"rediss://{door}/0?" + urlencode({part: papers / files[part] for part in parts})


def ping_as_broker(url: str) -> None:
    with Connection(url, transport_options={"max_retries": 1}) as broker:  # type: ignore[no-untyped-call]  # no types
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
