"""Time zones as people look for them: a short list to choose from, and all of IANA's by name or city."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

OFFERED = (
    "Pacific/Honolulu",
    "America/Los_Angeles",
    "America/Denver",
    "America/Mexico_City",
    "America/Bogota",
    "America/New_York",
    "America/Santiago",
    "America/Argentina/Buenos_Aires",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Madrid",
    "Africa/Cairo",
    "Europe/Kyiv",
    "Europe/Moscow",
    "Asia/Riyadh",
    "Asia/Tehran",
    "Asia/Dubai",
    "Asia/Kabul",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Bangkok",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
)
"""Where many people live, from west to east."""

FOUND_MAX = 8

_NO_PLACES = frozenset({"Etc", "SystemV", "US", "posix", "right"})


def is_known(name: str) -> bool:
    """Whether this host has a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def all_names() -> list[str]:
    """Those that `find` finds."""
    return [name for names in _named().values() for name in names]


def city(name: str) -> str:
    """What its name says of where it is, in English: `Buenos Aires`, `UTC`."""
    return name.rpartition("/")[2].replace("_", " ")


def find(words: str) -> list[str]:
    """The one that somebody named, or those whose city they may mean, at most FOUND_MAX; none if nobody knows it."""
    wanted = _plain(words)
    if not wanted:
        return []
    named = _named()
    for exact in (*named.get(words.strip().casefold(), ()), *named.get(wanted, ())):
        return [exact]
    cities = _by_city()
    if wanted in cities:
        return _best(cities[wanted])
    return _best(name for name_of_city, names in cities.items() if wanted in name_of_city for name in names)


def offered(now: datetime) -> list[str]:
    """A short list, in the order of what clocks show now. now -- in UTC."""
    known = [name for name in OFFERED if is_known(name)]
    return sorted(known, key=lambda name: now.astimezone(ZoneInfo(name)).utcoffset() or now - now)


def _best(names: Iterable[str]) -> list[str]:
    """Those that are offered first, then the shorter ones."""
    return sorted({*names}, key=lambda name: (name not in OFFERED, len(name), name))[:FOUND_MAX]


def _plain(words: str) -> str:
    """As it is compared: without case, accents and the difference between a space, `_` and `-`."""
    decomposed = unicodedata.normalize("NFKD", words[:100].casefold())
    letters = "".join(each for each in decomposed if not unicodedata.combining(each))
    return " ".join(letters.replace("_", " ").replace("-", " ").split())


@cache
def _named() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(available_timezones()):
        if name.partition("/")[0] not in {"posix", "right"}:
            # Etc/GMT-3 and Etc/GMT+3 differ by what is left out of other names.
            found.setdefault(name.casefold() if name.startswith("Etc/") else _plain(name), []).append(name)
    return found


@cache
def _by_city() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in available_timezones():
        if "/" in name and name.partition("/")[0] not in _NO_PLACES:
            found.setdefault(_plain(city(name)), []).append(name)
    return found
