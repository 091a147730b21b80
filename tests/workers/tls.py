"""A Redis that speaks TLS. The embedded server does not, so a door that does stands before it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def certificates(folder: Path) -> Path:
    """Fill the folder with an authority, ca.pem, and what it signed for server and client; each file with its key."""
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


@contextmanager
def door_to(redis_port: int, papers: Path, guests: ssl.VerifyMode) -> Iterator[int]:
    """Its port. guests -- whether they need a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers / "server.pem", papers / "server.key")
    context.load_verify_locations(papers / "ca.pem")
    context.verify_mode = guests
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), closing(target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            finally:
                target.shutdown(socket.SHUT_RDWR)  # wakes who reads there

    def let_in(plain: socket.socket) -> None:
        with suppress(OSError):
            guest = context.wrap_socket(plain, server_side=True)
            host = socket.create_connection(("127.0.0.1", redis_port))
            threading.Thread(target=pass_on, args=(host, guest), daemon=True).start()
            pass_on(guest, host)

    def stand() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=let_in, args=(plain,), daemon=True).start()

    threading.Thread(target=stand, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.close()
