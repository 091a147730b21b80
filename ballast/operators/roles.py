"""Who has which role, in Redis: what owners gave, for the time in which the database is unavailable; and the codes by
which operators sign in to the page.

ballast:roles            hash     Telegram id -> role; `0` -> `1` once all that the database has is here
ballast:signin:<sha256>  string   who signs in by the code of this digest, as JSON
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import cast

import redis
import structlog

from dbcore.roles import Role
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

KEY = "ballast:roles"
_WHOLE = "0"
"""Nobody's id."""

FRESH_SECONDS = 5.0
"""A role that was taken is good for so long, in each process."""

CODE_SECONDS = 300
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 10
"""50 bits. Tries are throttled (bot_frontend/web/login_throttle.py)."""


class Roles:
    """Of one process. Never raises for Redis: then what was read last is in force."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = client
        self._clock = clock
        self._lock = threading.Lock()
        self._given: Mapping[int, Role] = {}
        self._read_at = float("-inf")
        self._in_force: tuple[Settings, Mapping[int, Role], Settings] | None = None

    def in_force(self, settings: Settings, *, reads: bool = True) -> Settings:
        """The settings, with the roles that owners gave among their ADMIN_ROLES. What the settings say goes first.

        reads -- whether Redis may be asked, which may take as long as its client waits.
        """
        given = self._read() if reads else self._given
        made = self._in_force
        if made is None or made[0] is not settings or made[1] is not given:
            beside = {each: role for each, role in given.items() if settings.role_of(each) is None}
            roles = {**beside, **settings.admin_roles}
            made = (
                settings,
                given,
                settings.model_copy(update={"admin_roles": roles}) if beside else settings,
            )
            self._in_force = made
        return made[2]

    def put(self, telegram_id: int, role: Role | None) -> None:
        """After the database has it. Raises redis.RedisError."""
        if role is None:
            self._redis.hdel(KEY, str(telegram_id))
        else:
            self._redis.hset(KEY, str(telegram_id), role.value)
        self._read_at = float("-inf")

    def is_whole(self) -> bool:
        """Whether it has all that the database has; not once Redis lost its data. Raises redis.RedisError."""
        return bool(self._redis.hexists(KEY, _WHOLE))

    def restore(self, roles: Iterable[tuple[int, Role]]) -> None:
        """All that the database has. Raises redis.RedisError."""
        with self._redis.pipeline() as pipeline:
            pipeline.delete(KEY)
            pipeline.hset(KEY, _WHOLE, "1")
            for telegram_id, role in roles:
                pipeline.hset(KEY, str(telegram_id), role.value)
            pipeline.execute()
        self._read_at = float("-inf")

    def _read(self) -> Mapping[int, Role]:
        with self._lock:
            now = self._clock()
            if now - self._read_at < FRESH_SECONDS:
                return self._given
            self._read_at = now  # others go on with what is known, and who has no Redis asks once per time
        try:
            found = cast("dict[bytes, bytes]", self._redis.hgetall(KEY))
        except redis.RedisError as error:
            log.info("roles_without_redis", error=type(error).__name__)
            return self._given
        given = {
            int(each): Role(role.decode())
            for each, role in found.items()
            if each.decode() != _WHOLE and role.decode() in {*Role}
        }
        if given != self._given:
            self._given = given
        return self._given


@dataclass(frozen=True, slots=True)
class SigningIn:
    """Whom a code stands for. name -- as the page calls them."""

    telegram_id: int
    name: str


def make_code(client: redis.Redis, who: SigningIn) -> str:
    """A code that signs them in once, within CODE_SECONDS. Raises redis.RedisError."""
    code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    client.set(_key(code), json.dumps(asdict(who)), ex=CODE_SECONDS)
    half = CODE_LENGTH // 2
    return f"{code[:half]}-{code[half:]}"


def take_code(client: redis.Redis, given: str) -> SigningIn | None:
    """Who signs in by it; the code is of no use from then on. None if it is none. Raises redis.RedisError."""
    code = "".join(given.split()).replace("-", "").upper()
    if len(code) != CODE_LENGTH or not {*code} <= {*CODE_LETTERS}:
        return None
    found = client.getdel(_key(code))
    return None if found is None else SigningIn(**json.loads(cast("bytes", found)))


def _key(code: str) -> str:
    return f"ballast:signin:{hashlib.sha256(code.encode()).hexdigest()}"
