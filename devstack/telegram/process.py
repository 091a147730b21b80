"""The local Telegram as a process of its own, as tests and `make run` start it."""

from __future__ import annotations

import json
import signal
import sys
import urllib.request
from pathlib import Path

from devstack.embedded import Command, EmbeddedServerError, ServerProcess

ROOT = Path(__file__).resolve().parents[2]
HEALTH_SECONDS_MAX = 5.0


class TelegramProcess:
    """One local Telegram on 127.0.0.1. Started again on the same directory it goes on where it was."""

    def __init__(
        self,
        data_dir: Path,
        port: int,
        token: str = "123456:LOCAL",  # noqa: S107 - the local Telegram's own
        *,
        admin_ids: tuple[int, ...] = (),
        limits: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.token = token
        self._admin_ids = admin_ids
        self._limits = limits
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The server's root: methods are at {url}/bot{token}/{method}, the chat page is at {url}/."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def command(self) -> Command:
        """How to run it in the foreground."""
        argv = [sys.executable, "-m", "devstack.telegram", "--port", str(self.port)]
        argv += ["--data", str(self.data_dir)]
        if self._limits:
            argv.append("--limits")
        if self._admin_ids:
            argv += ["--admin", *map(str, self._admin_ids)]
        return Command(argv, env={"PYTHONPATH": str(ROOT), "TELEGRAM_BOT_TOKEN": self.token}, user=None)

    def accepts(self) -> bool:
        """Whether this local Telegram, not another server on its port, answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/control/health", timeout=HEALTH_SECONDS_MAX) as answer:  # noqa: S310
                return Path(json.load(answer)["data"]) == self.data_dir.resolve()
        except (OSError, ValueError, KeyError):
            return False

    def start(self) -> None:
        """Return once it answers. Raises EmbeddedServerError."""
        if self._process is not None and self._process.alive():
            raise EmbeddedServerError(f"the local Telegram on port {self.port} is started already")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._process = ServerProcess("The local Telegram", self.command(), log, death_signal=signal.SIGTERM)
        self._process.wait_until(self.accepts)

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        """kill -9: what a crash looks like."""
        if self._process is not None:
            self._process.kill()
            self._process = None
