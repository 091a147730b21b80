"""What was last set at Telegram for this bot, so that a start does not set it again: Telegram answers 429, for minutes,
to who sets the same menu over and over.

    ballast:registered:<bot>:<what>    string   fingerprint of what was set
"""

from __future__ import annotations

import asyncio
import hashlib
import json

import redis

REMEMBERED_SECONDS = 86_400
"""After that it is set once more: somebody else may have changed it meanwhile."""

REFUSED_REMEMBERED_SECONDS = 600
"""What Telegram refused, such as the menu of an admin who never wrote to the bot, is tried again after this."""


class RegistrationRecord:
    """Never raises: without Redis nothing is remembered, and all is set again."""

    def __init__(self, client: redis.Redis, bot_id: str) -> None:
        self._redis = client
        self._bot_id = bot_id

    async def knows(self, what: str, fingerprint: str) -> bool:
        try:
            return await asyncio.to_thread(self._redis.get, self._key(what)) == fingerprint.encode()
        except redis.RedisError:
            return False

    async def note(self, what: str, fingerprint: str, *, refused: bool = False) -> None:
        seconds = REFUSED_REMEMBERED_SECONDS if refused else REMEMBERED_SECONDS
        try:
            await asyncio.to_thread(self._redis.set, self._key(what), fingerprint, ex=seconds)
        except redis.RedisError:
            return

    def _key(self, what: str) -> str:
        return f"ballast:registered:{self._bot_id}:{what}"


def fingerprint(*parts: object) -> str:
    """Of JSON values. Secrets among them cannot be read from it."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
