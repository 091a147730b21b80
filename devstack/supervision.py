"""supervisord as a child: it starts, restarts and stops the programs; we tell it when, by XML-RPC.

Why supervisor: docs/adr/0002-supervision.md.

    SupervisorLost      supervisord is gone or does not answer
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from devstack.parent_death import TIED_PID, tied_to_parent
from devstack.ports import free_port
from devstack.programs import Program

_SUPERVISORD = Path(__file__).with_name("supervisord.py")
_START_SECONDS_MAX = 30.0
# A program that ends within so many seconds of its start did not start. supervisord tries again, later
# each time.
_SETTLE_SECONDS = 3
TRIES = 3
_PARENT = "@parent@"

STOPPED_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})


class SupervisorLost(Exception):
    """supervisord ended or does not answer. Its programs die with it."""


@dataclass(frozen=True)
class Sighting:
    """A program as supervisord sees it. `pid` is 0 while it does not run."""

    state: str
    pid: int


def _quoted(words: Sequence[str]) -> str:
    """A command line as supervisord's configuration wants it.

    It knows quotes as a shell does, but % begins an expansion, and # or ; after a space a comment, also
    within quotes.
    """
    line = shlex.join(words).replace("%", "%%")
    return line.replace(" #", " ''#").replace(" ;", " '';")


def configuration(programs: Sequence[Program], *, port: int, password: str) -> str:
    """supervisord's configuration. It runs in `.ballast`: all paths are relative, for it would expand a % in
    some of them twice.
    """
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "logfile=log/supervisord.log",
        "logfile_maxbytes=1MB",
        "logfile_backups=1",
        "pidfile=supervisord.pid",
        "minfds=256",
        "minprocs=32",
        # Not a Unix socket: its path may hold 107 bytes, a folder's path more.
        "[inet_http_server]",
        f"port=127.0.0.1:{port}",
        "username=ballast",
        f"password={password}",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for priority, program in enumerate(programs, start=1):
        command = tied_to_parent(
            program.argv, user=program.user, death_signal=program.death_signal, parent=_PARENT
        )
        lines += [
            f"[program:{program.name}]",
            "command=" + _quoted(command).replace(f" {_PARENT} ", f" %(ENV_{TIED_PID})s ", 1),
            "directory=..",
            "autostart=false",
            "autorestart=true",
            f"priority={priority}",
            f"startsecs={_SETTLE_SECONDS}",
            f"startretries={TRIES - 1}",
            f"stopsignal={program.stop_signal.name.removeprefix('SIG')}",
            f"stopwaitsecs={program.stop_seconds}",
            # The stop signal goes to the program alone: Celery's children take SIGTERM for the end of their
            # task. What is left when the time is up is killed as a group.
            "stopasgroup=false",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile=log/{program.name}.log",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
        ]
        if program.env:
            pairs = ",".join(f'{name}="{value}"' for name, value in program.env.items())
            lines.append("environment=" + pairs.replace("%", "%%"))
    return "\n".join(lines) + "\n"


class Supervisor:
    """One supervisord, from `Supervisor(...)` to `shut_down` or `kill`; it and all it runs die with this
    process.
    """

    def __init__(self, folder: Path, programs: Sequence[Program], env: Mapping[str, str]) -> None:
        self.programs = list(programs)
        self._folder = folder
        port, password = free_port(), secrets.token_hex(16)
        config = folder / "supervisord.conf"
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(configuration(self.programs, port=port, password=password))
        argv = [sys.executable, "-P", str(_SUPERVISORD), "-c", str(config)]
        self._output = (folder / "log" / "supervisord.out").open("wb")
        self._process = subprocess.Popen(
            tied_to_parent(argv, death_signal=Program.death_signal, parent=os.getpid()),
            cwd=folder,
            env={**os.environ, **env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is for the run command, which keeps the order
        )
        self._server = xmlrpc.client.ServerProxy(f"http://ballast:{password}@127.0.0.1:{port}/RPC2")

    def await_up(self) -> None:
        """Raises SupervisorLost with what it said."""
        deadline = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                self._call("supervisor.getState")
            except SupervisorLost:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    said = (self._folder / "log" / "supervisord.out").read_text(errors="replace").strip()
                    raise SupervisorLost(f"supervisord did not start: {said or 'it said nothing'}") from None
                time.sleep(0.05)
            else:
                return

    def start(self, name: str) -> None:
        """Start a program, without waiting for it. One that cannot be started is seen as FATAL."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("supervisor.startProcess", name, False)

    def sight(self) -> dict[str, Sighting]:
        """All programs as they are now."""
        return {
            info["name"]: Sighting(state=info["statename"], pid=info["pid"])
            for info in self._call("supervisor.getAllProcessInfo")
        }

    def stop(self, names: Sequence[str]) -> None:
        """Stop programs together and return when they are gone; after its `stop_seconds` each is killed.

        Names that are not ours, or do not run, are fine.
        """
        ours = [program for program in self.programs if program.name in names]
        for name in (program.name for program in ours):
            # Fault: it does not run anyway.
            with contextlib.suppress(xmlrpc.client.Fault):
                self._call("supervisor.stopProcess", name, False)
        longest = max((program.stop_seconds for program in ours), default=0)
        deadline = time.monotonic() + longest + _START_SECONDS_MAX
        while time.monotonic() < deadline:
            sightings = self.sight()
            if all(sightings[program.name].state in STOPPED_STATES for program in ours):
                return
            time.sleep(0.05)

    def shut_down(self) -> None:
        """End supervisord, once its programs are stopped."""
        try:
            self._call("supervisor.shutdown")
            self._process.wait(timeout=15)
        except (SupervisorLost, subprocess.TimeoutExpired):
            self.kill()
            self._process.wait()
        self._output.close()

    def kill(self) -> None:
        """End it and, with it, all programs, at once. May be called from a signal handler."""
        self._process.kill()

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._server, method)(*arguments)
        except (OSError, xmlrpc.client.ProtocolError, ExpatError) as error:
            raise SupervisorLost(f"supervisord does not answer: {error}") from error
