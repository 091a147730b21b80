"""The outages: each a context manager in whose block the database is of no use. Its value tells, afterwards, when the
database was back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import psycopg2

from dbcore.breaker import read_breaker
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Answer, On, Rule, ServerError, frozen_server
from devstack.stack import Stack
from tests.outages.environment import Site

QUOTA = ServerError(
    "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.",
    "XX000",
    "ERROR",
)
_CROWD_PAUSE_SECONDS = 0.02


class Return:
    """When the database was back, by the clock of this machine."""

    at: float = 0.0


Outage = Callable[[Site, Stack], AbstractContextManager[Return]]


@contextmanager
def stopped(site: Site, _stack: Stack) -> Iterator[Return]:
    """Killed, and started again."""
    back = Return()
    site.servers.postgres.kill()
    yield back
    site.servers.postgres.start()
    back.at = _ready_at(site.servers.postgres)


@contextmanager
def frozen(site: Site, _stack: Stack) -> Iterator[Return]:
    """SIGSTOP of all its processes: whoever connects is accepted by the kernel, and hears nothing."""
    back = Return()
    assert site.servers.postgres.pid is not None
    with frozen_server(site.servers.postgres.pid):
        yield back
    back.at = time.time()


@contextmanager
def crowded(site: Site, _stack: Stack) -> Iterator[Return]:
    """An outsider takes all connections, ends the sessions of others, and takes theirs too, as long as it is there."""
    back = Return()
    with crowd(site.servers.postgres.url):
        yield back
    back.at = time.time()


@contextmanager
def crowd(url: str) -> Iterator[None]:
    """Inside the block all connections of this server are the outsider's."""
    taken: list[psycopg2.extensions.connection] = []
    leaving, alone = threading.Event(), threading.Event()
    outsider = psycopg2.connect(url, application_name="outsider")
    outsider.autocommit = True

    def take() -> None:
        while not leaving.is_set():
            try:
                taken.append(psycopg2.connect(url, application_name="outsider"))
            except psycopg2.OperationalError:
                if _end_of_others(outsider) == 0:
                    alone.set()
                time.sleep(_CROWD_PAUSE_SECONDS)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        alone.wait()
        yield
    finally:
        leaving.set()
        thread.join()
        for connection in (*taken, outsider):
            connection.close()


def _end_of_others(outsider: psycopg2.extensions.connection) -> int:
    """End the sessions of Ballast; how many there were."""
    with outsider.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND application_name <> 'outsider'"
        )
        return cursor.rowcount


@contextmanager
def read_only(site: Site, _stack: Stack) -> Iterator[Return]:
    """Every transaction is read-only, as on a standby or a plan whose storage is full."""
    back = Return()
    _configure(
        site.servers.postgres.admin_url_of("ballast"), "ALTER SYSTEM SET default_transaction_read_only = on"
    )
    try:
        yield back
    finally:
        _configure(
            site.servers.postgres.admin_url_of("ballast"), "ALTER SYSTEM RESET default_transaction_read_only"
        )
    back.at = time.time()


@contextmanager
def quota(site: Site, stack: Stack) -> Iterator[Return]:
    """A provider's proxy ends the sessions and lets nobody in. Back is when the operator, who raised the plan, says
    `python -m dbcore breaker auto`: until then nothing hammers a database that said quota.
    """
    back = Return()
    rule = site.proxy.add(Rule(On(kind="Startup"), Answer(QUOTA), times=None))
    site.proxy.sever()
    try:
        yield back
    finally:
        site.proxy.remove(rule)
    told = stack.command("dbcore", "breaker", "auto")
    assert told.returncode == 0, told.stderr
    back.at = read_breaker(stack.redis).since


KINDS: dict[str, Outage] = {
    "stopped": stopped,
    "frozen": frozen,
    "crowded": crowded,
    "read-only": read_only,
    "quota": quota,
}


def _ready_at(server: EmbeddedPostgres) -> float:
    """When the server last said that it takes connections, by its own clock."""
    log = server.data_dir.with_name(f"{server.data_dir.name}.log").read_text()
    said = re.findall(r"^(\S+ \S+) UTC .*ready to accept connections", log, flags=re.MULTILINE)
    return datetime.strptime(said[-1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _configure(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(statement)
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()
