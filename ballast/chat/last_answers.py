"""What people were answered last by commands of apps that say LAST_KNOWN, for when the database is unavailable.

ballast:answer:<command, person and arguments>   string   the replies, and when; for 30 days
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import redis
from pydantic import BaseModel

from ballast.queueing.kinds import AppCommand
from ballast.replies import Reply
from dbcore.fingerprints import fingerprint

KEPT_SECONDS = 30 * 86_400


class LastAnswer(BaseModel):
    """replies -- each as Telegram's HTML, and whether a whole group may read it."""

    at: datetime
    replies: list[tuple[str, bool]]


class LastAnswers:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def keep(self, job: AppCommand, replies: Sequence[Reply]) -> None:
        answer = LastAnswer(at=datetime.now(UTC), replies=[(reply.markup, reply.public) for reply in replies])
        self._redis.set(_key(job), answer.model_dump_json(), ex=KEPT_SECONDS)

    def find(self, job: AppCommand) -> LastAnswer | None:
        kept = cast("bytes | None", self._redis.get(_key(job)))
        return None if kept is None else LastAnswer.model_validate_json(kept)


def _key(job: AppCommand) -> str:
    asked = json.dumps(job.arguments, sort_keys=True)
    return f"ballast:answer:{fingerprint(job.kind, job.telegram_id, asked)}"
