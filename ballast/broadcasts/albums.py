"""Which messages of a chat make one album: Telegram brings an album piece by piece, and a reply names one piece.

    ballast:album:<chat>:<album>    set of message ids

Kept for what admins send alone, as long as they are likely to reply to it.
"""

from __future__ import annotations

from typing import cast

import redis

PIECES_MAX = 10
"""Of one album, by Telegram's own rule."""

KEPT_SECONDS = 7 * 86_400


class Albums:
    """Raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def note(self, chat_id: int, album: str, message_id: int) -> None:
        key = _key(chat_id, album)
        with self._redis.pipeline() as pipeline:
            pipeline.sadd(key, message_id)
            pipeline.expire(key, KEPT_SECONDS)
            pipeline.execute()

    def with_piece(self, chat_id: int, album: str, message_id: int) -> tuple[int, ...]:
        """All of the album's messages that are known, this one among them, in the order they were sent."""
        known = {int(member) for member in cast("set[bytes]", self._redis.smembers(_key(chat_id, album)))}
        return tuple(sorted({*sorted(known - {message_id})[: PIECES_MAX - 1], message_id}))


def _key(chat_id: int, album: str) -> str:
    return f"ballast:album:{chat_id}:{album[:64]}"
