"""The fleet is held for a move: no call is let through, people are told that the bot is paused for maintenance, and
jobs wait in the inbox. It is a lease: if nobody says so again in time, calls are let through again.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import cast

import redis
import structlog

from dbcore.breaker.process_names import has_ended
from dbcore.breaker.state import FleetState
from dbcore.breaker.store import CONNECTIONS_KEY, FleetStore
from dbcore.breaker.view import MOVE
from dbcore.moving.errors import MoveFailed
from dbcore.redis_client import redis_time
from dbcore.sentences import sentence

log = structlog.get_logger(__name__)

ACTOR = MOVE
LEASE_SECONDS = 5.0
SAY_SO_SECONDS = 1.0
LIVING_SECONDS = 10.0

HEARD_SECONDS_MAX = 1.2
"""Processes that make calls speak once a second."""

LOOK_SECONDS = 0.05


class Pause:
    """In a `with` block the fleet is held. Raises MoveFailed if it cannot be, redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._store = FleetStore(client)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="move-pause", daemon=True)

    def __enter__(self) -> Pause:
        held = self._store.change(self._begun, ACTOR)
        if not held.is_held or held.overridden_by != ACTOR:
            command = "ballast breaker auto"
            if held.overridden_by is None:
                raise MoveFailed(
                    sentence(
                        "the breaker is set by an operator: run `{command}`, and start again", command=command
                    )
                )
            raise MoveFailed(
                sentence(
                    "the breaker is set by {name}: run `{command}`, and start again",
                    name=held.overridden_by,
                    command=command,
                )
            )
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self._thread.join()
        with suppress(redis.RedisError):  # then it ends by itself
            self._store.change(lambda fleet, now: fleet.let_go(now=now, by=ACTOR), ACTOR)

    def _keep(self) -> None:
        while not self._stopped.wait(SAY_SO_SECONDS):
            try:
                self._store.change(self._held, ACTOR)
            except redis.RedisError as error:
                log.warning("move_pause_unsaid", error=type(error).__name__)

    @staticmethod
    def _begun(fleet: FleetState, now: float) -> FleetState:
        """Anew, should a killed run's hold still last: nobody takes the one for the other."""
        return Pause._held(fleet.let_go(now=now, by=ACTOR), now)

    @staticmethod
    def _held(fleet: FleetState, now: float) -> FleetState:
        return fleet.held(until=now + LEASE_SECONDS, now=now, by=ACTOR)


def living_processes(client: redis.Redis, silent_after_seconds: float = LIVING_SECONDS) -> dict[str, float]:
    """When each process of the fleet last spoke, of those that did so lately and are not seen to have ended.

    Raises redis.RedisError.
    """
    found = cast("dict[bytes, bytes]", client.hgetall(CONNECTIONS_KEY))
    spoke = {name.decode(): float(line.split()[-1]) for name, line in found.items()}
    since = redis_time(client) - silent_after_seconds
    return {name: at for name, at in spoke.items() if at >= since and not has_ended(name)}


def wait_until_heard(client: redis.Redis) -> None:
    """Until each has spoken again, so that it knows of the pause; those that are idle or frozen are not waited for.

    Raises redis.RedisError.
    """
    since, until = redis_time(client), time.monotonic() + HEARD_SECONDS_MAX
    while time.monotonic() < until and any(at < since for at in living_processes(client).values()):
        time.sleep(LOOK_SECONDS)
