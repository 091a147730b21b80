"""Free TCP ports on the loopback address, for servers that live as long as a test."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port nobody listens on now.

    The kernel hands out ephemeral ports in a random order, so two callers in a row do not get the same one,
    though nothing but luck holds it until the server has bound it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
