"""The Lua scripts of the inbox, each with what they share before it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import redis

from ballast.chat.languages import CHANGES_KEY
from ballast.inbox.publisher import BEARERS_MARK
from ballast.queueing.queue_pauses import PAUSED
from ballast.queueing.queues import QUEUES
from ballast.queueing.worker_drains import DRAINS
from ballast.status import counters
from ballast.telegram.rate_limiter import TURN_LUA
from dbcore.breaker.store import STATE_KEY
from dbcore.redis_client import FIRST_WRITE_LUA

DIRECT = "ballast:inbox:direct:"
"""What the channels begin with on which processes are handed jobs; their names follow."""

_FOLDER = files("ballast.inbox").joinpath("lua")


def _text(name: str) -> str:
    return _FOLDER.joinpath(f"{name}.lua").read_text()


TURN_OF_A_JOB_LUA = TURN_LUA + _text("turn")
"""Takes the turn of a job's first message along."""


class Scripts:
    """For one client of Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        bounds = ", ".join(map(str, counters.ANSWER_MS))
        queues = ", ".join(f"{name} = true" for name in QUEUES)
        self._prelude = "\n".join(
            [
                FIRST_WRITE_LUA + _text("prelude"),
                f"local ANSWER_MS = {{{bounds}}}",
                f"local QUEUES = {{{queues}}}",
                f"local BEARERS_MARK, DIRECT = '{BEARERS_MARK}', '{DIRECT}'",
                f"local BREAKER, PAUSED, DRAINS = '{STATE_KEY}', '{PAUSED}', '{DRAINS}'",
                f"local function language_changes() return redis.call('GET', '{CHANGES_KEY}') or '' end\n",
            ]
        )

    def load(self, name: str, *, shared: str = "") -> Any:
        """shared -- Lua that it needs beside what all have."""
        return self._client.register_script(self._prelude + shared + _text(name))
