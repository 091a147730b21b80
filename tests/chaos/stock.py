"""The peer: the same cases and a small kill matrix against stock Celery on the same servers (`--peer`).

A visibility time-out of VISIBILITY_SECONDS and a sweep each second are generous to it: the defaults are an hour and
100 s. Below the longest job such a time-out doubles work by itself.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.programs import Program
from devstack.redis import EmbeddedRedis
from devstack.stack import ROOT
from tests.chaos.frozen_brpop import freeze_in_brpop
from tests.chaos.report import spread
from tests.harness.cluster import Kept
from tests.harness.relay import lossy_relay

TABLES = """
CREATE TABLE plain (job_id text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE keyed (job_id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE begun (job_id text NOT NULL);
"""
VISIBILITY_SECONDS = 10
PATIENCE_SECONDS = 40.0
"""What has not come back by then counts as lost."""
MATRIX_JOBS = 200
MATRIX_SECONDS = 20.0
LOOK_EVERY_SECONDS = 0.05


class Peer:
    """Two servers, workers of stock Celery, and a publisher."""

    def __init__(self, folder: Path, visibility_seconds: int) -> None:
        folder.chmod(0o711)
        self.folder = folder
        self._visibility_seconds = visibility_seconds
        self._postgres = EmbeddedPostgres(folder / "postgres", free_port())
        self.redis_server = EmbeddedRedis(folder / "redis", free_port())
        self._workers: dict[str, Kept] = {}
        self.redis = redis.Redis.from_url(self.redis_server.url)

    def open(self) -> None:
        self._postgres.start()
        self.redis_server.start()
        self.rows(TABLES)

    def close(self) -> None:
        for kept in self._workers.values():
            kept.stop()
        self.redis_server.stop()
        self._postgres.stop()

    def start(self, name: str) -> None:
        """A worker, started again whenever it dies; returns once it listens."""
        argv = [sys.executable, "-m", "celery", "-A", "tests.chaos.stock_app", "worker"]
        argv += ["-n", f"{name}@%h", "--concurrency", "2", "--loglevel", "INFO"]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": self.redis_server.url,
            "DATABASE_URL": self._postgres.url,
            "STOCK_VISIBILITY_SECONDS": str(self._visibility_seconds),
        }
        log = self.folder / f"{name}.log"
        kept = Kept(Program(name, argv, stop_seconds=20), env=env, cwd=self.folder, log=log)
        self._workers[name] = kept
        kept.start()
        self.until(lambda: log.exists() and "ready." in log.read_text(), "a worker is ready")

    def remove(self, name: str) -> None:
        """kill -9 of a worker and its children, for good."""
        kept = self._workers.pop(name)
        kept.abandon()
        self.kill_tree(kept)
        kept.stop()

    def tree(self, kept: Kept) -> list[psutil.Process]:
        if kept.pid is None:
            return []
        try:
            head = psutil.Process(kept.pid)
            return [head, *head.children()]
        except psutil.NoSuchProcess:
            return []

    def kill_tree(self, kept: Kept) -> None:
        for process in self.tree(kept):
            process.kill()

    def worker(self, name: str) -> Kept:
        return self._workers[name]

    def cut_clients(self) -> None:
        mine = self.redis.client_id()
        for client in self.redis.client_list():
            if client["id"] != str(mine):
                self.redis.client_kill_filter(_id=client["id"])

    @contextmanager
    def publisher(self, port: int | None = None) -> Iterator[Callable[..., None]]:
        sender = Celery(
            "sender", broker=f"redis://{self.redis_server.login}@127.0.0.1:{port or self.redis_server.port}/0"
        )
        sender.set_current()

        def publish(task: str, **arguments: Any) -> None:
            sender.send_task(f"stock.{task}", kwargs=arguments, retry=False)

        yield publish
        sender.close()

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self._postgres.url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def effects(self, job_id: str, table: str = "plain") -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE job_id = %s", job_id)[0][0])

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        if not self.within(condition, seconds):
            raise TimeoutError(f"not within {seconds} s: {what}")

    def within(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY_SECONDS)
        return True


def swallowed(peer: Peer, publish: Callable[..., None]) -> int:
    peer.start("first")
    freeze_in_brpop(
        peer.redis,
        lambda: peer.tree(peer.worker("first")),
        lambda caught: peer.until(caught, "it is frozen in BRPOP"),
    )
    publish("insert", job_id="swallowed", table="plain")
    peer.until(lambda: peer.redis.llen("celery") == 0, "Redis handed it out")
    peer.remove("first")
    peer.start("main")
    peer.within(lambda: peer.effects("swallowed") > 0)
    return peer.effects("swallowed")


def reset_while_it_runs(peer: Peer, publish: Callable[..., None]) -> int:
    publish("insert", job_id="reset", table="plain", seconds=3)
    peer.until(lambda: peer.effects("reset") > 0, "it runs")
    peer.cut_clients()
    peer.within(lambda: peer.effects("reset") > 1)
    return peer.effects("reset")


def raised_but_landed(peer: Peer, publish: Callable[..., None]) -> int:
    """Its caller does what one does after an error: it publishes again."""
    with lossy_relay(peer.redis_server.port) as (port, armed), peer.publisher(port) as robbed:
        armed.set()
        try:
            robbed("insert", job_id="landed", table="plain")
        except (OperationalError, OSError):
            publish("insert", job_id="landed", table="plain")
    peer.within(lambda: peer.effects("landed") > 1, 10.0)
    return peer.effects("landed")


def outlasts_the_time_out(peer: Peer, publish: Callable[..., None]) -> int:
    publish("insert", job_id="long", table="plain", seconds=3 * VISIBILITY_SECONDS)
    peer.within(lambda: peer.effects("long") > 1, 3 * VISIBILITY_SECONDS + PATIENCE_SECONDS)
    return peer.effects("long")


def poison(peer: Peer, publish: Callable[..., None]) -> int:
    """How often it is begun before we lose patience."""
    publish("poison", job_id="poison")
    peer.within(lambda: peer.effects("poison", "begun") > 30)
    return peer.effects("poison", "begun")


CASES = (swallowed, reset_while_it_runs, raised_but_landed, outlasts_the_time_out, poison)


def kill_matrix(peer: Peer, publish: Callable[..., None], table: str, seed: int) -> dict[str, Any]:
    """Jobs at an even pace while workers, children and connections are killed by a seed."""
    draw = random.Random(seed)
    blows = sorted(draw.uniform(1, MATRIX_SECONDS) for _ in range(12))
    published: dict[str, float] = {}
    started = time.monotonic()
    for number in range(MATRIX_JOBS):
        job_id = f"{table}-{number}"
        while blows and time.monotonic() - started > blows[0]:
            _blow(peer, draw, len(blows))
            blows.pop(0)
        published[job_id] = time.time()
        try:
            publish("insert", job_id=job_id, table=table)
        except (OperationalError, OSError):
            publish("insert", job_id=job_id, table=table)
        time.sleep(MATRIX_SECONDS / MATRIX_JOBS)
    pattern = f"{table}-%"
    counting = f"SELECT count(DISTINCT job_id) FROM {table} WHERE job_id LIKE %s"
    peer.within(lambda: bool(peer.rows(counting, pattern)[0][0] == MATRIX_JOBS), 3 * PATIENCE_SECONDS)
    done = peer.rows(
        f"SELECT job_id, count(*), extract(epoch FROM min(at))::float FROM {table}"
        " WHERE job_id LIKE %s GROUP BY job_id",
        pattern,
    )
    return {
        "jobs": MATRIX_JOBS,
        "lost": MATRIX_JOBS - len(done),
        "doubled": sum(count - 1 for _, count, _ in done),
        "seconds_to_effect": spread([at - published[job_id] for job_id, _, at in done]),
    }


def _blow(peer: Peer, draw: random.Random, number: int) -> None:
    kept = peer.worker(draw.choice(("main", "second")))
    match number % 3:
        case 0:
            peer.kill_tree(kept)
        case 1:
            for child in peer.tree(kept)[1:2]:
                child.kill()
        case _:
            peer.cut_clients()


def measure(folder: Path) -> dict[str, Any]:
    """What stock Celery loses and doubles. For `poison` the number is how often it was begun."""
    peer = Peer(folder, VISIBILITY_SECONDS)
    found: dict[str, Any] = {"visibility_seconds": VISIBILITY_SECONDS}
    try:
        peer.open()
        with peer.publisher() as publish:
            found["effects_of_one_job"] = {case.__name__: case(peer, publish) for case in CASES}
            peer.redis.flushall()
            peer.remove("main")
            peer.start("main")
            peer.start("second")
            for table in ("plain", "keyed"):
                found[f"kill_matrix_{table}"] = kill_matrix(peer, publish, table, seed=1)
    finally:
        peer.close()
    return found
