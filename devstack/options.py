"""The run command's own options, beside those of dbcore/settings.py.

StartRefused        `make run` cannot start as things are; one line a person can act on
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from dbcore.settings import ENV_FILE, Options, load_options

# Servers of the run before this one that was killed need a moment to let go of their ports.
_PORT_PATIENCE_SECONDS = 3.0

Port = Annotated[int, Field(ge=1, le=65535)]


class StartRefused(Exception):
    """Nothing was started. The message is one line: what stands in the way, and what to do."""


class RunOptions(Options):
    """Not the servers' usual ports, so that both live beside a PostgreSQL or Redis of the machine's own."""

    model_config = SettingsConfigDict(
        env_prefix="BALLAST_", env_file=ENV_FILE, env_ignore_empty=True, extra="ignore", frozen=True
    )

    postgres_port: Port = 54329
    redis_port: Port = 63799
    local_telegram: bool = False


def load_run_options() -> RunOptions:
    """Raises SettingsError naming the option, what was expected and what came."""
    return load_options(RunOptions)


def check_ports(wanted: dict[str, tuple[str, int]]) -> None:
    """Whether each option's (host, port) can be listened on. Raises StartRefused for the first that
    cannot.
    """
    seen: dict[int, str] = {}
    for option, (_, port) in wanted.items():
        if port in seen:
            raise StartRefused(f"{option}: port {port} is {seen[port]}'s already; set one of them to another")
        seen[port] = option
    deadline = time.monotonic() + _PORT_PATIENCE_SECONDS
    for option, (host, port) in wanted.items():
        while (refusal := _refusal(host, port)) is not None:
            if refusal.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise StartRefused(
                    f"{option}: cannot listen on {host}:{port} ({os.strerror(refusal.errno or 0)}); "
                    f"stop what uses it, or set {option} to a free port"
                )
            time.sleep(0.1)


def _refusal(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do it: connections of a moment ago in TIME_WAIT do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
