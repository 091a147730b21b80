"""`python -m devstack run`: everything Ballast needs, on one machine, until Ctrl-C.

A part whose variable is set (DATABASE_URL, REDIS_URL, TELEGRAM_BOT_TOKEN) is taken as given; the others are
started here. What starts whom: this process starts supervisord, and supervisord all others. Each dies with its parent
(parent_death.py), so that after kill -9 of any of them nothing below it is left.

    ServiceFailed       a service did not start; says which, with the last lines of its log
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import redis
from redis import Redis
from sqlalchemy.exc import OperationalError

from ballast.apps.discovery import installed
from ballast.process.ownership import hand_over
from ballast.queueing.queues import WORKERS
from dbcore.settings import SettingsError, load_settings
from devstack import console
from devstack.embedded import EmbeddedServerError, FolderRefused
from devstack.interruption import Interrupted, Interruption
from devstack.options import StartRefused, check_ports, load_run_options
from devstack.parent_death import tied_to_parent
from devstack.plan import Plan, plan
from devstack.readiness import reachable_host, redis_complaint, status_of, workers_alive
from devstack.redis import DAMAGED, DAMAGED_WORDS
from devstack.revision import newest_revision, revision_of
from devstack.state_dir import StateDir
from devstack.supervision import TRIES, Supervisor, SupervisorLost

READY_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.1
_WATCH_SECONDS = 0.5
_GIVEN_UP_PAUSE_SECONDS = 10.0
_TAIL_LINES = 15

_CANNOT_CONNECT = (OperationalError, psycopg2.OperationalError, redis.ConnectionError, ConnectionError)

ROOM_BYTES_MIN = 10 * 1024 * 1024
"""Less than that, and the disk counts as full."""


class ServiceFailed(Exception):
    """A service did not start. The message says which and shows the end of its log."""


def run() -> int:
    """Run until Ctrl-C or SIGTERM. Returns the exit status: 0 stopped as asked, 1 a service failed, 2
    refused.
    """
    interruption = Interruption()
    interruption.listen()
    state_dir = StateDir(Path.cwd())
    try:
        with state_dir.held():
            ours = plan(
                load_settings(),
                load_run_options(),
                state_dir.folder,
                local_token=state_dir.telegram_token(),
            )
            os.environ.update(ours.made)  # apps may read it when they are imported
            _import_apps(await_servers=ours.postgres is not None or ours.redis is not None)
            check_ports(ours.ports)
            processes = ours.prepare()
            supervisor = Supervisor(state_dir.folder, processes, ours.environment)
            return _Run(state_dir, ours, supervisor, interruption).until_stopped()
    except (StartRefused, SettingsError, FolderRefused) as refusal:
        console.refusal(refusal)
        return 2
    except OSError as error:
        console.refusal(f"{error.filename or state_dir.folder}: {error.strerror or error}")
        return 2
    except EmbeddedServerError as error:
        console.refusal(error)
        return 1


def _import_apps(*, await_servers: bool = False) -> None:
    """Raises SettingsError if one cannot be imported, or an option names what none of them has.

    await_servers -- they may connect to servers that are not up yet: then it is tried again.
    """
    try:
        installed()
    except SettingsError as error:
        if not (await_servers and isinstance(error.__cause__, _CANNOT_CONNECT)):
            raise
        return
    from ballast.payouts.installed import require_adapter  # it has the apps that were imported

    require_adapter(load_settings())


class _Run:
    def __init__(
        self, state_dir: StateDir, ours: Plan, supervisor: Supervisor, interruption: Interruption
    ) -> None:
        self._state_dir = state_dir
        self._plan = ours
        self._supervisor = supervisor
        self._interruption = interruption
        interruption.insist = supervisor.kill

    def until_stopped(self) -> int:
        """Start all, say so, keep watch, stop all."""
        status = 0
        try:
            console.starting()
            self._supervisor.await_up()
            self._start_stores()
            _import_apps()
            if not self._is_migrated():
                console.migrating()
                self._migrate()
            self._state_dir.remember_running(self._plan.made)
            self._start_processes()
            console.logs(self._state_dir.shown(self._state_dir.logs))
            console.ready()
            self._watch()
        except Interrupted:
            console.stopping()
        except ServiceFailed as failure:
            console.refusal(failure)
            status = 1
        except SupervisorLost as lost:
            console.refusal(f"{lost}; stopping everything")
            status = 1
        finally:
            self._stop_all()
        console.stopped()
        return status

    def _start_stores(self) -> None:
        """What the others need: PostgreSQL and Redis. Telegram may take its time, they wait for it themselves."""
        ours = self._plan
        stores = {"postgres": ours.postgres, "redis": ours.redis, "telegram": ours.telegram_token}
        for name, part in stores.items():
            if part is not None:
                self._supervisor.start(name)
        if ours.postgres is not None:
            self._await("postgres", ours.postgres.accepts)
        console.database(ours)
        if ours.redis is not None:
            self._await("redis", ours.redis.accepts)
            with Redis.from_url(ours.redis.url) as client:
                hand_over(client, ours.bot_id)  # a bot of your own follows the local one in the same folder
        elif complaint := redis_complaint(ours.settings.require("redis_url")):
            raise ServiceFailed(f"the Redis of REDIS_URL does not answer: {complaint}")
        console.redis(ours)

    def _start_processes(self) -> None:
        settings = self._plan.settings
        workers = {name: f"worker-{name}" for name in WORKERS}
        for program in ["frontend", *workers.values(), "beat", "flower"]:
            self._supervisor.start(program)
        if self._plan.telegram_token is not None:
            simulator_port = settings.simulator_port
            self._await("telegram", lambda: status_of("127.0.0.1", simulator_port, "/") == 200)
        console.telegram(self._plan)
        host, port = reachable_host(settings.ops_host), settings.ops_port
        self._await("frontend", lambda: status_of(host, port, "/health/ready") == 200)
        console.frontend(self._plan)
        for name, program in workers.items():
            self._await(program, lambda: workers_alive(host, port) >= len(workers))
            console.worker(name)
        self._await("beat", lambda: self._supervisor.sight()["beat"].state == "RUNNING")
        console.beat(self._plan)
        self._await("flower", lambda: status_of("127.0.0.1", settings.flower_port, "/healthcheck") == 200)
        console.flower(self._plan)

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        """Return when it is ready. Raises ServiceFailed once it has ended too often or taken too long."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        pids: set[int] = set()
        while not ready():
            self._interruption.check()
            seen = self._supervisor.sight()[name]
            pids.add(seen.pid)
            if seen.state == "FATAL" or len(pids - {0}) > TRIES:
                tail = self._tail(name)
                if DAMAGED_WORDS in tail:
                    raise ServiceFailed(f"{DAMAGED}\n{tail}")
                raise ServiceFailed(f"{name} could not start:\n{tail}")
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{name} was not ready within {READY_SECONDS_MAX:.0f} s:\n{self._tail(name)}"
                )
            time.sleep(_POLL_SECONDS)

    def _is_migrated(self) -> bool:
        """Asked without Alembic, whose process takes as long as a worker's to start. Of a given database it knows."""
        if self._plan.postgres is None or any(app.migrations for app in installed().apps):
            return False
        revision = revision_of(self._plan.postgres.url, self._plan.settings.ballast_schema)
        return revision == newest_revision()

    def _migrate(self) -> None:
        log = self._state_dir.logs / "migrate.log"
        # As with Redis: nobody else can use the embedded one.
        take_over = [] if self._plan.postgres is None else ["--take-over"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied_to_parent([sys.executable, "-m", "dbcore", "migrate", *take_over], parent=os.getpid()),
                env={**os.environ, **self._plan.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                self._interruption.check()
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:  # a migration is one transaction: ended half-way, none of it is left
                process.terminate()
                process.wait()
        if process.returncode != 0:
            raise ServiceFailed(f"the migrations failed:\n{self._tail('migrate')}")

    def _watch(self) -> None:
        """Tell of each restart, and start again what supervisord gave up on, until interrupted."""
        pids = {name: seen.pid for name, seen in self._supervisor.sight().items()}
        next_tries: dict[str, float] = {}
        had_room = True
        while True:
            self._interruption.check()
            has_room = shutil.disk_usage(self._state_dir.folder).free >= ROOM_BYTES_MIN
            if has_room != had_room:
                had_room = has_room
                console.room(self._state_dir.shown(self._state_dir.folder), has_room=has_room)
            for name, seen in self._supervisor.sight().items():
                log = self._state_dir.shown(self._state_dir.log_of(name))
                if seen.state == "RUNNING" and seen.pid != pids[name]:
                    pids[name] = seen.pid
                    console.restarted(name, log)
                if seen.state == "FATAL" and time.monotonic() > next_tries.get(name, 0.0):
                    next_tries[name] = time.monotonic() + _GIVEN_UP_PAUSE_SECONDS
                    console.given_up(name, log)
                    self._supervisor.start(name)
            time.sleep(_WATCH_SECONDS)

    def _stop_all(self) -> None:
        """Who takes work in stops first, who keeps it last."""
        self._interruption.asked = True  # from here on, one more Ctrl-C insists
        self._state_dir.forget_running()
        workers = [f"worker-{name}" for name in WORKERS]
        try:
            for names in (["frontend"], ["beat", "flower"], workers, ["telegram"], ["redis"], ["postgres"]):
                self._supervisor.stop(names)
        except SupervisorLost:
            self._supervisor.kill()
        self._supervisor.shut_down()

    def _tail(self, name: str) -> str:
        path = self._state_dir.log_of(name)
        lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if path.exists() else []
        return "\n".join([*(f"  {line}" for line in lines), f"  ({self._state_dir.shown(path)})"])
