"""Which language each person reads, in Redis: what Telegram says of them, unless they chose another by /language.

ballast:languages   hash   Telegram id -> `de`, as Telegram's code means, or `=de`, as they chose; nobody who reads
                           English by Telegram's word and chose nothing

The database has what they chose too (users.language). Here it is known during an outage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import redis
import structlog

from ballast.texts import ENGLISH, negotiated

log = structlog.get_logger(__name__)

KEY = "ballast:languages"
_CHOSEN = "="
_WHOLE = "0"
"""Nobody's id."""

REMEMBERED_SECONDS = 30.0
"""Another frontend may have taken the choice of somebody whom this one remembers."""

REMEMBERED_MAX = 10_000


class Languages:
    """Never raises for Redis: who is not known reads English."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, tuple[str, float]] = {}
        """What Redis has of people, and until when that is believed."""

    def look_up(self, telegram_ids: Iterable[int]) -> None:
        """Ask for several at once: `of` knows them for a while."""
        self._look_up([*telegram_ids])

    def of(self, telegram_id: int) -> str:
        """For who did not write just now."""
        return _meant(self._look_up([telegram_id]).get(telegram_id, ""))

    def of_writers(self, codes: Mapping[int, str | None]) -> dict[int, str]:
        """For people who wrote just now, with what Telegram says of each: noted, unless they chose one."""
        kept = self._look_up(codes)
        changed: dict[int, str] = {}
        for telegram_id, code in codes.items():
            before = kept.get(telegram_id, "")
            said = negotiated(code)
            if not before.startswith(_CHOSEN) and (before or ENGLISH) != said:
                changed[telegram_id] = kept[telegram_id] = said
        if changed:
            self._write(changed)
        return {telegram_id: _meant(kept.get(telegram_id, "")) for telegram_id in codes}

    def choose(self, telegram_id: int, language: str | None, code: str | None) -> str:
        """None: as Telegram says, by `code`. Returns the language that it is then."""
        kept = negotiated(code) if language is None else f"{_CHOSEN}{language}"
        self._write({telegram_id: kept})
        return _meant(kept)

    def is_whole(self) -> bool:
        """Whether it has what everybody chose; not once Redis lost its data. Raises redis.RedisError."""
        return bool(self._redis.hexists(KEY, _WHOLE))

    def note_whole(self) -> None:
        """Raises redis.RedisError."""
        self._redis.hset(KEY, _WHOLE, "")

    def restore(self, choices: Iterable[tuple[int, str]]) -> None:
        """What people chose, as the database has it. Raises redis.RedisError."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for telegram_id, language in choices:
                pipeline.hset(KEY, str(telegram_id), f"{_CHOSEN}{language}")
            pipeline.execute()

    def _look_up(self, telegram_ids: Iterable[int]) -> dict[int, str]:
        now = self._clock()
        with self._lock:
            found = {each: self._known[each] for each in telegram_ids if each in self._known}
        kept = {each: value for each, (value, until) in found.items() if until > now}
        unknown = [each for each in telegram_ids if each not in kept]
        if not unknown:
            return kept
        try:
            values = cast("list[bytes | None]", self._redis.hmget(KEY, [str(each) for each in unknown]))
        except redis.RedisError as error:
            log.info("languages_without_redis", error=type(error).__name__)
            return {**{each: value for each, (value, _) in found.items()}, **kept}
        looked_up = {
            each: value.decode() if value else "" for each, value in zip(unknown, values, strict=True)
        }
        self._remember(looked_up)
        return {**kept, **looked_up}

    def _write(self, values: Mapping[int, str]) -> None:
        self._remember(values)
        try:
            self._redis.hset(KEY, mapping={str(each): value for each, value in values.items()})
        except redis.RedisError as error:
            log.info("languages_without_redis", error=type(error).__name__)

    def _remember(self, values: Mapping[int, str]) -> None:
        until = self._clock() + REMEMBERED_SECONDS
        with self._lock:
            if len(self._known) + len(values) > REMEMBERED_MAX:
                self._known.clear()
            self._known.update({each: (value, until) for each, value in values.items()})


def _meant(kept: str) -> str:
    """A language that this release has: another one may have kept it."""
    return negotiated(kept.removeprefix(_CHOSEN) or None)
