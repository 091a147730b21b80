"""Free TCP ports on the loopback address, for servers that live as long as a test."""

from __future__ import annotations

import socket
from random import SystemRandom

FIRST, LAST = 10_240, 32_767
"""Below what kernels hand out to clients: no connection that begins in between takes the port away."""

TRIES_MAX = 200

_chance = SystemRandom()  # hypothesis gives the module's own the same seed in every process


def free_port() -> int:
    """A port nobody listens on now. Drawn by chance, so that two callers at once do not get the same one, though
    nothing but luck holds it until the server has bound it.
    """
    for _ in range(TRIES_MAX):
        port = _chance.randint(FIRST, LAST)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port found in {TRIES_MAX} tries between {FIRST} and {LAST}")
