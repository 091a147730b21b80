"""Where a database is now, as far as this process has heard: the address that took the place of the one it was given.

Every connection of the guarded engine and of the commands asks here (following.py), so a process goes on at the new
server without being configured anew. What one thread hears of, all connect by.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import structlog

from dbcore.database_url import addresses, read_database_url

log = structlog.get_logger(__name__)


class Movable(Protocol):
    """A pool of connections."""

    def leave_connections(self) -> None:
        """Those that are open are not used again."""


_lock = threading.Lock()
_moved: dict[str, str] = {}
_tokens: set[str] = set()
_pools: weakref.WeakSet[Movable] = weakref.WeakSet()
_as_given: ContextVar[bool] = ContextVar("as_given", default=False)


def current(url: str) -> str:
    """The address to connect to for this one."""
    if not _moved or _as_given.get():
        return url
    url = read_database_url(url)
    seen = {url}
    while (to := _moved.get(url)) is not None and to not in seen:
        seen.add(to)
        url = to
    return url


def note(url: str, to: str) -> bool:
    """The database at `url` is at `to` now. Whether that is news; it is logged then."""
    url, to = read_database_url(url), read_database_url(to)
    with _lock:
        if url == to or _moved.get(url) == to:
            return False
        _moved.pop(to, None)  # it moved back
        _moved[url] = to
        pools = list(_pools)
    for pool in pools:
        pool.leave_connections()
    log.warning(
        "database_moved",
        host=place_of(to),
        meaning="this process follows; set DATABASE_URL to the new address before the old server goes",
    )
    return True


def tell(pool: Movable) -> None:
    """From now on it hears of every move."""
    with _lock:
        _pools.add(pool)


def note_token(token: str) -> None:
    """The bot's token is one of the secrets that a new address is sealed for."""
    with _lock:
        _tokens.add(token)


def secrets_of(url: str) -> list[str]:
    """What a process that was given this address can open a sealed one with."""
    from sqlalchemy import make_url  # a process that does without SQLAlchemy looks for no secrets

    password = make_url(read_database_url(url)).password
    with _lock:
        return [*([str(password)] if password else []), *_tokens]


@contextmanager
def as_given() -> Iterator[None]:
    """In this context connections lead to the address as it was given, wherever the database went."""
    token = _as_given.set(True)
    try:
        yield
    finally:
        _as_given.reset(token)


def is_as_given() -> bool:
    return _as_given.get()


def place_of(url: str) -> str:
    """Host, port and database for people: without user and password."""
    from sqlalchemy import make_url

    url = read_database_url(url)
    hosts = [where if isinstance(where, str) else f"{where[0]}:{where[1]}" for where in addresses(url)]
    return f"{','.join(hosts)}/{make_url(url).database or ''}"


def fingerprint_of(url: str) -> str:
    """The same for addresses that name the same servers and database."""
    return hashlib.sha256(place_of(url).encode()).hexdigest()[:32]
