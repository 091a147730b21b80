"""Which key a request came with. All keys are in memory, so that they are known while the database is unavailable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from bot_frontend.web.api.database import Database
from dbcore import api_keys
from dbcore.api_keys import ApiKey
from dbcore.errors import DatabaseAway

log = structlog.get_logger(__name__)

FRESH_SECONDS = 5.0
"""A key that was revoked is good for so long here, if the database answers."""

UNKNOWN_FRESH_SECONDS = 1.0
"""One that was just made is unknown for so long here."""

READ_SECONDS_MAX = 1.0


class Keys:
    """Those in force. In an outage they are what was read last."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._by_hash: dict[str, ApiKey] | None = None
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key: str) -> ApiKey | None:
        """Raises DatabaseAway where no keys were read yet, and Problem."""
        hashed = api_keys.hash_of(key)
        known = self._by_hash is not None and hashed in self._by_hash
        if self._clock() - self._tried_at > (FRESH_SECONDS if known else UNKNOWN_FRESH_SECONDS):
            await self._read()
        return None if self._by_hash is None else self._by_hash.get(hashed)

    async def _read(self) -> None:
        """Once for all that wait for it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_once())
            self._reading.add_done_callback(self._have_read)
        await asyncio.shield(self._reading)

    def _have_read(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # told to whoever waits, if anybody still does

    async def _read_once(self) -> None:
        try:
            found = await self._database.run(
                api_keys.in_force, name="api_keys.in_force", deadline_seconds=READ_SECONDS_MAX
            )
        except DatabaseAway as away:
            if self._by_hash is None:
                raise
            log.warning("keys_not_read", kind=away.kind, keys=len(self._by_hash))
        else:
            self._by_hash = {key.hash: key for key in found}
        self._tried_at = self._clock()
