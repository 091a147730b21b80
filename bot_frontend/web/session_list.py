"""Who is signed in to the page, so that a session can be seen, and ended before its time. A cookie alone is good for
nothing once its session is not in the list any more.

ballast:sessions   hash   id of a session -> Session as JSON

The list is in memory too: it is known while Redis does not answer, and then a new session holds on its frontend alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import cast

import redis
import structlog

from ballast.chat.languages import Languages
from ballast.operators.roles import Roles
from dbcore.roles import Role
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

KEY = "ballast:sessions"

FRESH_SECONDS = 2.0
"""A session that was ended on another frontend is good for so long here, if Redis answers."""

WAIT_SECONDS_MAX = 0.05
"""For the list to be read anew before a request of a known session is judged: pages answer while Redis hangs."""

WAIT_SECONDS_MAX_OF_UNKNOWN = 2.0


@dataclass(frozen=True, slots=True)
class Session:
    """telegram_id -- who signed in by a code of the bot's; None by OPS_TOKEN. began_at -- seconds since 1970.

    address, browser -- as the request of the sign-in said.
    """

    id: str
    name: str
    telegram_id: int | None
    began_at: float
    address: str
    browser: str


class SessionList:
    """Of one frontend. Raises nothing of Redis's but where it says so."""

    def __init__(
        self,
        client: redis.Redis,
        roles: Roles,
        languages: Languages,
        settings: Settings,
        seconds_max: float,
    ) -> None:
        """seconds_max -- how long a session lasts."""
        self._redis = client
        self._roles = roles
        self._languages = languages
        self._settings = settings
        self._seconds_max = seconds_max
        self._sessions: dict[str, Session] = {}
        self._languages_read: dict[int, str] = {}
        """By Telegram id."""
        self._unsaved: dict[str, Session] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, session_id: str) -> Session | None:
        is_known = session_id in self._sessions
        if time.monotonic() - self._read_at > (FRESH_SECONDS if is_known else 0):
            await self._read(WAIT_SECONDS_MAX if is_known else WAIT_SECONDS_MAX_OF_UNKNOWN)
        found = self._sessions.get(session_id)
        return found if found is not None and self._is_current(found) else None

    def role_of(self, session: Session) -> Role | None:
        """What they may do now, as it was read with the list. Who signed in by OPS_TOKEN is an owner."""
        if session.telegram_id is None:
            return Role.OWNER
        return self._roles.in_force(self._settings, reads=False).role_of(session.telegram_id)

    def language_of(self, session: Session) -> str | None:
        """That they read in the chat, as it was found out with the list; None of who signed in by OPS_TOKEN."""
        return None if session.telegram_id is None else self._languages_read.get(session.telegram_id)

    async def begin(self, session: Session) -> None:
        self._sessions[session.id] = self._unsaved[session.id] = session
        await self._read(WAIT_SECONDS_MAX_OF_UNKNOWN)

    async def end(self, session_id: str) -> bool:
        """Whether there was one. Raises redis.RedisError: then it is ended here, and not elsewhere."""
        was_known = self._sessions.pop(session_id, None) is not None
        self._unsaved.pop(session_id, None)
        return bool(await asyncio.to_thread(self._redis.hdel, KEY, session_id)) or was_known

    async def everybody(self) -> list[Session]:
        """All of them, newest first."""
        await self._read(WAIT_SECONDS_MAX_OF_UNKNOWN)
        current = [each for each in self._sessions.values() if self._is_current(each)]
        return sorted(current, key=lambda each: each.began_at, reverse=True)

    def _is_current(self, session: Session) -> bool:
        return time.time() - session.began_at < self._seconds_max

    async def _read(self, seconds_max: float) -> None:
        """Once for all that wait for it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
            self._reading.add_done_callback(self._have_read)
        await asyncio.wait({self._reading}, timeout=seconds_max)

    def _have_read(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled() and (error := reading.exception()) is not None:
            log.warning("sessions_not_read", error=type(error).__name__)

    async def _read_once(self) -> None:
        unsaved = dict(self._unsaved)
        try:
            found = await asyncio.to_thread(self._exchange, unsaved)
        except redis.RedisError as error:
            log.info("sessions_without_redis", error=type(error).__name__)
        else:
            for each in unsaved:
                self._unsaved.pop(each, None)
            self._sessions = {**found, **self._unsaved}
        self._read_at = time.monotonic()

    def _exchange(self, unsaved: dict[str, Session]) -> dict[str, Session]:
        """Write those that are not there yet, read all, and remove those that are over. And read who has which role,
        and who reads which language.
        """
        self._roles.in_force(self._settings)
        for each in unsaved.values():
            self._redis.hset(KEY, each.id, json.dumps(asdict(each)))
        found = cast("dict[bytes, bytes]", self._redis.hgetall(KEY))
        sessions = [Session(**json.loads(each)) for each in found.values()]
        over = [each.id for each in sessions if not self._is_current(each)]
        if over:
            self._redis.hdel(KEY, *over)
        current = {each.id: each for each in sessions if self._is_current(each)}
        people = {each.telegram_id for each in current.values() if each.telegram_id is not None}
        self._languages.look_up(people)
        self._languages_read = {each: self._languages.of(each) for each in people}
        return current
