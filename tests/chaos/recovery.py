"""How long a job takes to come back from a worker that is killed while it has it (`--recovery 50`).

Recovery is the time from kill -9 of a worker, its parent and children at once, to the effect in the database of a
job which that worker had. Both ways to have one are forced, in turns:

    held        a child has claimed the job and is in the middle of its statement
    swallowed   Redis handed the message to the worker, and nobody has written that down

A second worker lives on, the killed one is started again at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from ballast.builtin.balances import AdjustBalance
from ballast.builtin.users import GetOrCreateUser
from ballast.queueing.envelope import Envelope
from tests.chaos.report import machine, spread
from tests.harness.cluster import Cluster
from tests.harness.queueing import Queueing, queueing_at

ALICE = 5001
PAIR = ("main", "second")
EFFECT_SECONDS_MAX = 60.0
LOOK_EVERY_SECONDS = 0.005


class Ground:
    """A cluster of two workers, and hands to take jobs away from them."""

    def __init__(self, cluster: Cluster, queueing: Queueing) -> None:
        self._cluster = cluster
        self._queueing = queueing
        self._redis = queueing.client
        self._watch = psycopg2.connect(cluster.servers.postgres.url)
        self._watch.autocommit = True

    def register(self) -> None:
        self._offer("register", GetOrCreateUser(telegram_id=ALICE, first_name="Alice"))
        self._rest()

    def held(self, job_id: str) -> float:
        """Seconds to the effect of a job whose worker is killed in the middle of its statement."""
        with self._account_locked():
            self._offer(job_id, _credit(job_id))
            self._cluster.wait_until(self._someone_waits, "a worker's statement waits for the lock", 30.0)
            victim = self._owner_of(job_id)
            killed_at = self._kill(victim)
            # Or the dead worker's own statement would go through once the lock is free: nothing to recover.
            self._look(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            )
        return self._effect(job_id) - killed_at

    def swallowed(self, job_id: str) -> float:
        """Seconds to the effect of a job that Redis handed to a worker which never wrote it down."""
        frozen = [process for name in PAIR for process in self._cluster.tree(name)]
        for process in frozen:
            process.suspend()
        self._offer(job_id, _credit(job_id))
        self._cluster.wait_until(lambda: self._redis.llen("balances") == 0, "Redis handed it out", 30.0)
        victim = self._swallower()
        killed_at = self._kill(victim)
        for process in frozen:
            if process.is_running() and process.status() == psutil.STATUS_STOPPED:
                process.resume()
        return self._effect(job_id) - killed_at

    def mend(self) -> None:
        """Until both workers are at work again and nothing waits."""
        self._rest()
        self._cluster.wait_until(lambda: all(self._listens(name) for name in PAIR), "both workers listen")

    def credits(self) -> list[tuple[Any, ...]]:
        return self._look("SELECT memo, count(*) FROM transfers WHERE status = 'applied' GROUP BY memo")

    def _offer(self, job_id: str, job: AdjustBalance | GetOrCreateUser) -> None:
        dispatch = self._queueing.inbox.accept(Envelope.of(job, job_id=job_id, lane=job_id)).dispatch
        assert dispatch is not None
        assert self._queueing.publisher.publish(dispatch)

    def _rest(self) -> None:
        self._cluster.wait_until(lambda: self._queueing.inbox.size() == 0, "no job is on record")

    def _kill(self, name: str) -> float:
        tree = self._cluster.tree(name)
        killed_at = time.monotonic()
        for process in tree:
            process.send_signal(signal.SIGKILL)
        return killed_at

    def _effect(self, job_id: str) -> float:
        deadline = time.monotonic() + EFFECT_SECONDS_MAX
        while not self._look("SELECT 1 FROM transfers WHERE memo = %s", job_id):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} never took effect")
            time.sleep(LOOK_EVERY_SECONDS)
        return time.monotonic()

    def _owner_of(self, job_id: str) -> str:
        owner = self._redis.hget(f"ballast:inbox:job:{job_id}", "owner")
        assert isinstance(owner, bytes)
        pid = int(owner.split(b":")[1])
        return next(name for name in PAIR if pid in {process.pid for process in self._cluster.tree(name)})

    def _swallower(self) -> str:
        """The worker whose BRPOP has been answered: Redis has it as waiting no more."""
        answered = {
            int(client["addr"].rpartition(":")[2])
            for client in self._redis.client_list()
            if client["cmd"] == "brpop" and "b" not in client["flags"]
        }
        return next(name for name in PAIR if answered & self._ports(name))

    def _listens(self, name: str) -> bool:
        ports = self._ports(name)
        return any(
            client["cmd"] == "brpop" and int(client["addr"].rpartition(":")[2]) in ports
            for client in self._redis.client_list()
        )

    def _ports(self, name: str) -> set[int]:
        try:
            found = [self._cluster.tree(name)[0].net_connections(kind="tcp")]
        except (IndexError, psutil.NoSuchProcess):
            return set()
        return {connection.laddr.port for connections in found for connection in connections}

    def _someone_waits(self) -> bool:
        return bool(self._look("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    @contextmanager
    def _account_locked(self) -> Iterator[None]:
        connection = psycopg2.connect(self._cluster.servers.postgres.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT 1 FROM accounts a JOIN users u ON u.id = a.user_id"
                    " WHERE u.telegram_id = %s FOR UPDATE OF a",
                    (ALICE,),
                )
                yield
        finally:
            connection.close()

    def _look(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._watch.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()


def _credit(job_id: str) -> AdjustBalance:
    return AdjustBalance(telegram_id=ALICE, amount=1, reason=job_id, actor="chaos")


def measure(folder: Path, kills: int) -> dict[str, Any]:
    """Kill a worker so often; what the recovery took, in seconds, by how the job was had."""
    cluster = Cluster(folder, parts=("main", "second", "light", "frontend"))
    took: dict[str, list[float]] = {"held": [], "swallowed": []}
    try:
        cluster.open()
        with queueing_at(cluster.servers.redis.url) as queueing:
            ground = Ground(cluster, queueing)
            ground.register()
            for number in range(kills):
                ground.mend()
                way = ("held", "swallowed")[number % 2]
                took[way].append(getattr(ground, way)(f"{way}-{number}"))
            ground.mend()
            applied = ground.credits()
    finally:
        left = cluster.close()
    return {
        "machine": machine(),
        "kills": kills,
        "recovery_seconds": spread([*took["held"], *took["swallowed"]]),
        **{f"{way}_seconds": spread(seconds) for way, seconds in took.items()},
        "lost": kills - len(applied),
        "doubled": sum(count - 1 for _, count in applied),
        "left_running": left,
    }
