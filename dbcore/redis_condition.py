"""Whether Redis is fit to hold jobs: it takes writes, deletes nothing by itself, and keeps what it has on its disk.

INFO tells most of it, and is allowed where CONFIG is not. Whether a write is taken only a write tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import redis

from dbcore.sentences import sentence

LOOK_SECONDS = 2.0

RESERVE_BYTES_MIN = 2 * 1024**2
RESERVE_BYTES_MAX = 64 * 1024**2
RESERVE_SHARE = 1 / 8
"""Of `maxmemory`, kept free for finishing the jobs that are on record: doing them takes memory too, for a while."""

_WRITTEN = "ballast:redis:written"
_WRITTEN_SECONDS = 60
_NO_EVICTION = "noeviction"


class RedisTrouble(StrEnum):
    """The worst first."""

    READ_ONLY = "read_only"
    TOO_FEW_REPLICAS = "too_few_replicas"
    DISK = "disk"
    MEMORY_FULL = "memory_full"
    EVICTING = "evicting"
    MEMORY_SHORT = "memory_short"
    MAY_EVICT = "may_evict"
    NOT_PERSISTENT = "not_persistent"

    @property
    def words(self) -> str:
        """A sentence for operators, and what to do: the key of a text in the catalogues."""
        return _WORDS[self].template


_WORDS = {
    RedisTrouble.READ_ONLY: sentence(
        "Redis is read-only (READONLY): it is a replica. Connect Ballast to the primary, or "
        "promote this server."
    ),
    RedisTrouble.TOO_FEW_REPLICAS: sentence(
        "Redis refuses writes (NOREPLICAS): it has fewer replicas than "
        "min-replicas-to-write demands. Bring the replicas back, or lower the setting."
    ),
    RedisTrouble.DISK: sentence(
        "Redis refuses writes (MISCONF): it cannot write to its disk. Free disk space on its host."
    ),
    RedisTrouble.MEMORY_FULL: sentence(
        "Redis is out of memory (OOM). The backlog is worked off; no new commands are accepted. "
        "Raise maxmemory, or wait until the backlog is done."
    ),
    RedisTrouble.EVICTING: sentence(
        "Redis deletes keys to free memory, and accepted commands may be lost. No new commands are "
        "accepted. Set maxmemory-policy to noeviction, then raise maxmemory."
    ),
    RedisTrouble.MEMORY_SHORT: sentence(
        "Redis is nearly out of memory. New commands are refused until the backlog is done. Raise maxmemory."
    ),
    RedisTrouble.MAY_EVICT: sentence(
        "Redis may delete accepted commands when its memory is full. Set maxmemory-policy to noeviction."
    ),
    RedisTrouble.NOT_PERSISTENT: sentence(
        "Redis keeps no append-only file: accepted commands are lost if it restarts. Set "
        "appendonly yes and appendfsync always."
    ),
}

REFUSES_WRITES = frozenset(
    {
        RedisTrouble.READ_ONLY,
        RedisTrouble.TOO_FEW_REPLICAS,
        RedisTrouble.DISK,
        RedisTrouble.MEMORY_FULL,
    }
)
STOPS_INTAKE = REFUSES_WRITES | {RedisTrouble.EVICTING}
"""While one of these holds, nothing can be recorded that will be kept."""


@dataclass(frozen=True, slots=True)
class RedisCondition:
    """troubles -- the worst first. evicted_keys -- since the server started, for any reason.

    memory_max_bytes -- 0 where there is no limit.
    """

    troubles: tuple[RedisTrouble, ...] = ()
    evicted_keys: int = 0
    memory_used_bytes: int = 0
    memory_max_bytes: int = 0

    @property
    def stops_intake(self) -> RedisTrouble | None:
        return next((trouble for trouble in self.troubles if trouble in STOPS_INTAKE), None)

    @property
    def is_short_of_memory(self) -> bool:
        return RedisTrouble.MEMORY_SHORT in self.troubles

    @property
    def worst(self) -> RedisTrouble | None:
        return self.troubles[0] if self.troubles else None


class RedisInspector:
    """Looks as often as it is asked to, but at Redis only every LOOK_SECONDS, or each time while something is wrong or
    memory is half full. Raises redis.RedisError wherever Redis does not answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._look_seconds = look_seconds
        self._clock = clock
        self._looked_at = float("-inf")
        self._last = RedisCondition()

    def look(self) -> RedisCondition:
        half_full = 2 * self._last.memory_used_bytes > self._last.memory_max_bytes > 0
        if self._last.troubles or half_full or self._clock() - self._looked_at >= self._look_seconds:
            self._last = self._inspect()
            self._looked_at = self._clock()
        return self._last

    def _inspect(self) -> RedisCondition:
        info = cast("Mapping[str, Any]", self._redis.info())
        refusal = self._refusal()
        used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        evicted = int(info.get("evicted_keys", 0))
        reserve = min(max(RESERVE_BYTES_MIN, limit * RESERVE_SHARE), RESERVE_BYTES_MAX)
        may_evict = str(info.get("maxmemory_policy", _NO_EVICTION)) != _NO_EVICTION
        found = {refusal}
        if may_evict and limit and evicted:
            # By the server's own count, which a restart of ours does not forget. Only a change of its settings ends it.
            found.add(RedisTrouble.EVICTING)
        elif may_evict:
            found.add(RedisTrouble.MAY_EVICT)
        if may_evict or not limit:
            pass
        elif used > limit - reserve / 2:
            found.add(RedisTrouble.MEMORY_FULL)
        elif used > limit - reserve:
            found.add(RedisTrouble.MEMORY_SHORT)
        if not int(info.get("aof_enabled", 1)):
            found.add(RedisTrouble.NOT_PERSISTENT)
        return RedisCondition(
            troubles=tuple(trouble for trouble in RedisTrouble if trouble in found),
            evicted_keys=evicted,
            memory_used_bytes=used,
            memory_max_bytes=limit,
        )

    def _refusal(self) -> RedisTrouble | None:
        try:
            self._redis.set(_WRITTEN, 1, ex=_WRITTEN_SECONDS)
        except redis.ResponseError as error:
            trouble = refusal_in(error)
            if trouble is None:
                raise
            return trouble
        return None


def refusal_in(error: redis.RedisError) -> RedisTrouble | None:
    """Why Redis took no write; None where the error says something else."""
    if isinstance(error, redis.ReadOnlyError) or "READONLY" in str(error):
        return RedisTrouble.READ_ONLY
    if isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error):
        return RedisTrouble.MEMORY_FULL
    if "NOREPLICAS" in str(error):
        return RedisTrouble.TOO_FEW_REPLICAS
    if "MISCONF" in str(error):
        return RedisTrouble.DISK
    return None
