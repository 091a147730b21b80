"""The folder `.ballast/`: data, logs and what the run command knows between two starts.

postgres/ redis/ telegram/ beat/    data that outlives a stop
log/                                one log a process, rotated
telegram-token                      the local Telegram's bot token, made up once
running.env                         while servers of ours are up: where they are (dbcore/settings.py)
run.lock                            held by the run command of this folder, with its process id
supervisord.conf                    written at each start
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from dbcore.settings import RUNNING_ENV_FILE
from devstack.options import StartRefused
from devstack.secret_files import write_secret


class StateDir:
    """`.ballast/` in the folder Ballast is run from."""

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self._running_env = self.project / RUNNING_ENV_FILE
        self.folder = self._running_env.parent
        self.logs = self.folder / "log"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it: one run command at a time. Raises StartRefused."""
        try:
            # 0711: PostgreSQL under root runs as somebody else, and must pass through.
            self.folder.mkdir(mode=0o711, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self.folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartRefused(
                f"{self.folder} cannot be written ({error.strerror}); "
                "run as the owner of this folder, or in a folder of your own"
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(lock, 20).decode().strip() or "unknown"
                raise StartRefused(
                    f"Ballast is running in this folder already (process {holder}); "
                    "stop it with Ctrl-C, or run another clone on other ports"
                ) from None
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            self.forget_running()  # one that was killed left its own behind
            yield
        finally:
            os.close(lock)

    def holder(self) -> int | None:
        """The process id of the run command that is up here; None where none is."""
        try:
            lock = os.open(self.folder / "run.lock", os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(lock, 20))
        finally:
            os.close(lock)
        return None

    def telegram_token(self) -> str:
        """The bot token of the local Telegram: made up at the first start, the same ever after."""
        path = self.folder / "telegram-token"
        if not path.exists():
            write_secret(path, f"{secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_urlsafe(26)}\n")
        return path.read_text().strip()

    def remember_running(self, variables: Mapping[str, str]) -> None:
        """Write running.env, so that a second terminal finds the servers of this run."""
        lines = [f"{name}='{value}'\n" for name, value in variables.items()]
        write_secret(self._running_env, "".join(lines))

    def forget_running(self) -> None:
        self._running_env.unlink(missing_ok=True)

    def log_of(self, name: str) -> Path:
        """The log of a process."""
        return self.logs / f"{name}.log"

    def shown(self, path: Path) -> str:
        """`path` as people type it here."""
        return str(path.relative_to(self.project))
