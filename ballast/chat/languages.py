"""Which language each person reads, in Redis: what Telegram says of them, unless they chose another by /language. And
the time zone of whoever chose one by /timezone.

ballast:languages   hash   Telegram id -> `de`, as Telegram's code means, or `=de`, as they chose; nobody who reads
                           English by Telegram's word and chose nothing
                           tz:<Telegram id> -> `Europe/Berlin`, as they chose
ballast:languages:changes  how often somebody chose; the inbox tells it along with what else it is asked, so that what a
                           process remembers of people costs no look while nobody chooses

The database has what they chose too (users.language). Here it is known during an outage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, cast

import redis
import structlog

from ballast.texts import ENGLISH, negotiated, speaking, time_zones

log = structlog.get_logger(__name__)

KEY = "ballast:languages"
CHANGES_KEY = "ballast:languages:changes"
_CHOSEN = "="
_WHOLE = "0"
"""Nobody's id."""
_WITH_ZONES = "zones"
"""The release before restores no time zones, and writes nothing here."""

REMEMBERED_SECONDS = 300.0
"""Somebody's Telegram may be in another language by now, and the release before counts no changes."""

UNCHANGED_SECONDS = 30.0
"""For how long nobody is taken to have chosen elsewhere, after it was last known."""

REMEMBERED_MAX = 10_000


class _Kept(NamedTuple):
    """What Redis has of somebody."""

    language: str = ""
    zone: str = ""


class Languages:
    """Never raises for Redis: who is not known reads English."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, tuple[_Kept, float]] = {}
        """What Redis has of people, and when that was seen."""
        self._changes = b""
        self._changes_until = 0.0
        """How often somebody had chosen, and until when that is believed."""

    def note_changes(self, changes: bytes) -> None:
        """How often somebody has chosen by now. If that is more than before, nobody is remembered any more."""
        with self._lock:
            if changes != self._changes:
                self._known.clear()
            self._changes = changes
            self._changes_until = self._clock() + UNCHANGED_SECONDS

    def look_up(self, telegram_ids: Iterable[int]) -> None:
        """Ask for several at once: `of` and `zone_of` know them for a while."""
        self._look_up([*telegram_ids])

    def of(self, telegram_id: int) -> str:
        """For who did not write just now."""
        return _meant(self._look_up([telegram_id]).get(telegram_id, _NOTHING).language)

    def zone_of(self, telegram_id: int) -> str | None:
        """The time zone that they chose; None if they chose none, or one that this host does not have."""
        zone = self._look_up([telegram_id]).get(telegram_id, _NOTHING).zone
        return zone if zone and time_zones.is_known(zone) else None

    def speaking_to(self, telegram_id: int) -> AbstractContextManager[None]:
        """What is said inside is in their language, by their clocks."""
        return speaking(self.of(telegram_id), self.zone_of(telegram_id))

    def of_writers(self, codes: Mapping[int, str | None]) -> dict[int, str]:
        """For people who wrote just now, with what Telegram says of each: noted, unless they chose one."""
        kept = self._look_up(codes)
        changed: dict[int, _Kept] = {}
        for telegram_id, code in codes.items():
            before = kept.get(telegram_id, _NOTHING)
            said = negotiated(code)
            if not before.language.startswith(_CHOSEN) and (before.language or ENGLISH) != said:
                changed[telegram_id] = kept[telegram_id] = before._replace(language=said)
        if changed:
            self._remember(changed)
            self._write({str(telegram_id): each.language for telegram_id, each in changed.items()})
        return {telegram_id: _meant(kept.get(telegram_id, _NOTHING).language) for telegram_id in codes}

    def choose(self, telegram_id: int, language: str | None, code: str | None) -> str:
        """None: as Telegram says, by `code`. Returns the language that it is then."""
        kept = negotiated(code) if language is None else f"{_CHOSEN}{language}"
        before = self._look_up([telegram_id]).get(telegram_id, _NOTHING)
        self._remember({telegram_id: before._replace(language=kept)})
        self._write({str(telegram_id): kept}, is_chosen=True)
        return _meant(kept)

    def choose_zone(self, telegram_id: int, zone: str | None) -> None:
        """zone -- a known one; None for that of TIMEZONE."""
        before = self._look_up([telegram_id]).get(telegram_id, _NOTHING)
        self._remember({telegram_id: before._replace(zone=zone or "")})
        self._write({_zone_field(telegram_id): zone or ""}, is_chosen=True)

    def is_whole(self) -> bool:
        """Whether it has what everybody chose; not once Redis lost its data. Raises redis.RedisError."""
        return self._redis.hget(KEY, _WHOLE) == _WITH_ZONES.encode()

    def note_whole(self) -> None:
        """Raises redis.RedisError."""
        self._redis.hset(KEY, _WHOLE, _WITH_ZONES)

    def restore(self, choices: Iterable[tuple[int, str | None, str | None]]) -> None:
        """What people chose, as the database has it: Telegram id, language, time zone. Raises redis.RedisError."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for telegram_id, language, zone in choices:
                if language is not None:
                    pipeline.hset(KEY, str(telegram_id), f"{_CHOSEN}{language}")
                if zone is not None:
                    pipeline.hset(KEY, _zone_field(telegram_id), zone)
            pipeline.incr(CHANGES_KEY)
            pipeline.execute()

    def _look_up(self, telegram_ids: Iterable[int]) -> dict[int, _Kept]:
        now = self._clock()
        with self._lock:
            oldest = now - (REMEMBERED_SECONDS if now < self._changes_until else UNCHANGED_SECONDS)
            found = {each: self._known[each] for each in telegram_ids if each in self._known}
        kept = {each: value for each, (value, seen_at) in found.items() if seen_at > oldest}
        unknown = [each for each in telegram_ids if each not in kept]
        if not unknown:
            return kept
        fields = [*map(str, unknown), *map(_zone_field, unknown)]
        try:
            values = cast("list[bytes | None]", self._redis.hmget(KEY, fields))
        except redis.RedisError as error:
            log.info("languages_without_redis", error=type(error).__name__)
            return {**{each: value for each, (value, _) in found.items()}, **kept}
        texts = [value.decode() if value else "" for value in values]
        looked_up = {
            each: _Kept(language, zone)
            for each, language, zone in zip(
                unknown, texts[: len(unknown)], texts[len(unknown) :], strict=True
            )
        }
        self._remember(looked_up)
        return {**kept, **looked_up}

    def _write(self, values: Mapping[str, str], *, is_chosen: bool = False) -> None:
        try:
            with self._redis.pipeline() as pipeline:
                pipeline.hset(KEY, mapping={str(field): value for field, value in values.items()})
                if is_chosen:
                    pipeline.incr(CHANGES_KEY)
                pipeline.execute()
        except redis.RedisError as error:
            log.info("languages_without_redis", error=type(error).__name__)

    def _remember(self, values: Mapping[int, _Kept]) -> None:
        now = self._clock()
        with self._lock:
            if len(self._known) + len(values) > REMEMBERED_MAX:
                self._known.clear()
            self._known.update({each: (value, now) for each, value in values.items()})


_NOTHING = _Kept()


def _zone_field(telegram_id: int) -> str:
    return f"tz:{telegram_id}"


def _meant(kept: str) -> str:
    """A language that this release has: another one may have kept it."""
    return negotiated(kept.removeprefix(_CHOSEN) or None)
