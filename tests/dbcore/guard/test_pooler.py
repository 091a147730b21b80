"""The guard behind PgBouncer in transaction mode: a server connection serves one client after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url, text

from dbcore import Guard, Tx, Unavailable
from devstack.ports import free_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
READY_SECONDS_MAX = 20.0
SERVER_CONNECTIONS = 4
SETTINGS = (
    "SELECT pg_backend_pid(), current_setting('lock_timeout'), current_setting('statement_timeout'),"
    " current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_timeout', true),"
    " current_setting('transaction_isolation')"
)

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="no pgbouncer on this machine")


@pytest.fixture
def pooled_url(
    database_url: str, servers_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    url, port = make_url(database_url), free_port()
    folder = servers_folder / f"pgbouncer-{port}"
    folder.mkdir()
    folder.chmod(0o777)  # it drops root's rights
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npooled = host={url.host} port={url.port} dbname={url.database} user={url.username}"
        f" password={url.password or ''}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nlogfile = {folder}/log\n"
    )
    assert PGBOUNCER is not None
    process = subprocess.Popen(
        [PGBOUNCER, *(("-u", "nobody") if os.geteuid() == 0 else ()), str(folder / "pgbouncer.ini")],
        stderr=subprocess.DEVNULL,
    )
    pooled = f"postgresql://anybody:x@127.0.0.1:{port}/pooled"
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            psycopg2.connect(pooled).close()
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
    yield pooled
    process.terminate()
    process.wait()


def settings_of_the_server_connections(url: str) -> set[tuple[str, ...]]:
    """Of all of them: each of these clients is in a transaction, and so has one of its own."""
    clients = [psycopg2.connect(url) for _ in range(SERVER_CONNECTIONS)]
    seen = {}
    for client in clients:
        with client.cursor() as cursor:
            cursor.execute(SETTINGS)
            pid, *settings = cursor.fetchone() or ()
            seen[pid] = tuple(settings)
    for client in clients:
        client.close()
    assert len(seen) == SERVER_CONNECTIONS
    return {*seen.values()}


class Neighbour:
    """Another client, whose statements a cancel that goes astray would hit."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.errors: list[str] = []
        self.answered = 0

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        client = psycopg2.connect(self._url)
        client.autocommit = True
        with client.cursor() as cursor:
            while not self._stop.is_set():
                try:
                    cursor.execute("SELECT pg_sleep(0.05)")
                    self.answered += 1
                except psycopg2.Error as error:
                    self.errors.append(str(error))
                    break
        client.close()


def test_a_transaction_given_up_on_is_done_once_hits_no_neighbour_and_leaves_no_setting(
    pooled_url: str, database_url: str
) -> None:
    before = settings_of_the_server_connections(pooled_url)
    guard, runs = Guard.from_url(pooled_url), []

    def work(tx: Tx) -> str:
        tx.session.execute(text("CREATE TABLE IF NOT EXISTS counts (n int)"))
        tx.session.execute(text("INSERT INTO counts VALUES (1)"))
        runs.append(1)
        if len(runs) == 1:
            tx.session.execute(text("SELECT pg_sleep(60)"))
        return "done"

    with Neighbour(pooled_url) as neighbour:
        with pytest.raises(Unavailable):
            guard.transact(work, key="given-up", name="test", deadline_seconds=1.0)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                effect = guard.transact(work, key="given-up", name="test")
                break
            except Unavailable:  # the first one's server connection still holds the key, for a moment
                assert time.monotonic() < deadline
        assert (effect.value, effect.replayed) == ("done", False)
        assert guard.transact(work, key="given-up", name="test").replayed
        answered = neighbour.answered
        while neighbour.answered < answered + 20 and not neighbour.errors:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    guard.close()
    assert neighbour.errors == []
    with psycopg2.connect(database_url) as client, client.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM counts")
        assert cursor.fetchone() == (1,)
    client.close()
    assert settings_of_the_server_connections(pooled_url) == before
