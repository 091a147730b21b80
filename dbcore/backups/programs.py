"""PostgreSQL's own pg_dump and pg_restore: where they are, and how they are run."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dbcore.backups.errors import BackupFailed
from dbcore.guard import pool
from dbcore.guard.deadline import remaining_seconds
from dbcore.sentences import sentence

_PACKAGED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_PR_SET_PDEATHSIG = 1

CLEARING_SECONDS = 30.0
"""What a program leaves of the deadline, to drop a scratch database and the like."""

_SAID_MAX = 500
_SERVICE = "ballast"


@dataclass(frozen=True, slots=True)
class Programs:
    """A folder with both, and the major version of PostgreSQL that they are of."""

    folder: Path
    major: int

    def run(
        self, program: str, *arguments: str, url: str, folder: Path, name: str = "ballast backup"
    ) -> None:
        """Run it to its end on a database. It ends with this process, also after kill -9, and at the thread's deadline.

        folder -- for a file of its own. Its arguments have no password: everybody on the machine sees them.
        Raises BackupFailed with what it said.
        """
        parameters = pool.libpq_parameters(url, application_name=name)
        password = parameters.pop("password", None)
        service = folder / f"{program}.service"
        service.touch(mode=0o600)
        lines = [f"[{_SERVICE}]", *(f"{key}={value}" for key, value in parameters.items())]
        service.write_text("\n".join(lines) + "\n")
        process = subprocess.Popen(
            [str(self.folder / program), "--no-password", f"--dbname=service={_SERVICE}", *arguments],
            env={
                **os.environ,
                "LC_ALL": "C",
                "PGSERVICEFILE": str(service),
                **({} if password is None else {"PGPASSWORD": password}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=end_with_parent,
        )
        try:
            _, said = process.communicate(
                timeout=max(0.0, min(remaining_seconds() - CLEARING_SECONDS, threading.TIMEOUT_MAX))
            )
        except subprocess.TimeoutExpired:
            raise BackupFailed(
                sentence(
                    "{program} did not end within BACKUP_DEADLINE_SECONDS, and was ended", program=program
                )
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
            service.unlink(missing_ok=True)
        if process.returncode != 0:
            raise BackupFailed(_in_one_line(program, said, process.returncode))


def find(server_major: int, folders: Iterable[Path]) -> Programs:
    """Those of the server's own version if there are any, else of the next newer one: an older pg_dump refuses.

    Raises BackupFailed, saying what there is.
    """
    found = [programs for folder in folders if (programs := _in_folder(folder)) is not None]
    fit = [programs for programs in found if programs.major >= server_major]
    if fit:
        return min(fit, key=lambda programs: programs.major)
    install = sentence(
        "install PostgreSQL's client programs of version {version}, or name their folder in BACKUP_PROGRAMS",
        version=server_major,
    )
    if not found:
        raise BackupFailed(sentence("there is no pg_dump: {install}", install=install))
    newest = max(programs.major for programs in found)
    raise BackupFailed(
        sentence(
            "pg_dump is of PostgreSQL {newest} and the server of {server}, which an older program cannot dump: "
            "{install}",
            newest=newest,
            server=server_major,
            install=install,
        )
    )


def installed() -> Iterator[Path]:
    """The folders on PATH, and where distributions have theirs."""
    if (on_path := shutil.which("pg_dump")) is not None:
        yield Path(on_path).parent
    for pattern in _PACKAGED:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")))


def _in_folder(folder: Path) -> Programs | None:
    majors = {_major(folder / program) for program in ("pg_dump", "pg_restore")}
    if len(majors) != 1 or (major := majors.pop()) is None:
        return None
    return Programs(folder, major)


def _major(program: Path) -> int | None:
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\(PostgreSQL\)[^0-9]*([0-9]+)", done.stdout)
    return None if version is None else int(version[1])


def _in_one_line(program: str, said: str, exit_status: int) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if "error:" in line] or lines[-1:]
    words = "; ".join(dict.fromkeys(line.removeprefix(f"{program}: error: ") for line in wrong))
    if not words:
        ended = signal.Signals(-exit_status).name if exit_status < 0 else f"exit status {exit_status}"
        words = f"it ended with {ended}"
    hint = "; BACKUP_SCHEMAS limits a backup to the schemas that this login may read"
    return f"{program}: {words[:_SAID_MAX]}{hint if 'permission denied' in words else ''}"


_libc = ctypes.CDLL(None)


def end_with_parent() -> None:
    """In a child before its program: it ends with the thread that started it, also after kill -9."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
