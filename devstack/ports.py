"""Free TCP ports on the loopback address, for servers that live as long as a test."""

from __future__ import annotations

import socket
from random import SystemRandom

HOST = "127.0.0.1"
FIRST, LAST = 10_240, 32_767
"""Below what kernels hand out to clients: no connection that begins in between takes the port away."""

TRIES_MAX = 200

_chance = SystemRandom()  # hypothesis gives the module's own the same seed in every process


def free_port() -> int:
    """A port nobody listens on now, and that no other call gets within a minute, in whichever process: the kernel
    remembers a connection that ended there. A server may bind it meanwhile if it sets SO_REUSEADDR, as all do.
    """
    for _ in range(TRIES_MAX):
        port = _chance.randint(FIRST, LAST)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.bind((HOST, port))
            _reserve(port)
        except OSError:
            continue
        return port
    raise OSError(f"no free port found in {TRIES_MAX} tries between {FIRST} and {LAST}")


def _reserve(port: int) -> None:
    """Leave a connection of its in TIME_WAIT, which is where the end that closes first stays. Raises OSError."""
    with (
        socket.create_server((HOST, port), backlog=1) as listener,
        socket.create_connection((HOST, port), timeout=1.0) as client,
    ):
        accepted, _ = listener.accept()
        accepted.close()
        client.recv(1)
