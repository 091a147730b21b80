"""What the buttons of apps stand for. A message carries a token, for callback data is 64 bytes that anybody can send.

ballast:button:<token>   string   the job, and who may press it; for 30 days
"""

from __future__ import annotations

from typing import Any, cast

import redis
from pydantic import BaseModel

KEPT_SECONDS = 30 * 86_400


class PressedJob(BaseModel):
    """owner_id -- the Telegram id of the one person who may press it."""

    kind: str
    fields: dict[str, Any]
    owner_id: int


class AppButtons:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def keep(self, token: str, pressed: PressedJob) -> None:
        self._redis.set(_key(token), pressed.model_dump_json(), ex=KEPT_SECONDS)

    def find(self, token: str) -> PressedJob | None:
        """None if it is too old, or never was."""
        kept = cast("bytes | None", self._redis.get(_key(token)))
        return None if kept is None else PressedJob.model_validate_json(kept)


def job_id_of_button(token: str) -> str:
    """Of the job that the button stands for, however often it is pressed."""
    return f"button-{token}"


def _key(token: str) -> str:
    return f"ballast:button:{token}"
