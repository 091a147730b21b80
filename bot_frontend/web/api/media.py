"""`/api/v1/broadcasts/media`: a file that Telegram is to know. The bot sends it once, to an admin, and Telegram says
what it calls it from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import redis
from fastapi import Depends, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from ballast.builtin.jobs import TelegramId
from ballast.operators.permissions import Permission
from ballast.texts import gettext
from bot_frontend.web.api.callers import UPLOAD_BYTES_MAX, Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, idempotency_key
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from dbcore import admin_actions
from dbcore.admin_actions import DONE
from dbcore.settings import Settings

if TYPE_CHECKING:
    from telegram import Bot

router = router_of("/broadcasts", tag="broadcasts")

UPLOAD_SECONDS_MAX = 120.0
KNOWN_SECONDS = 86_400
"""For which the same Idempotency-Key is the same file."""

MediaType = Literal["photo", "video", "animation", "document", "audio", "voice"]

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary", "maxLength": UPLOAD_BYTES_MAX}
            }
        },
    }
}


class Uploaded(BaseModel):
    type: MediaType
    file_id: str


class Uploader:
    """Has a bot of its own, made with the first file: most frontends never send one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bot: Bot | None = None

    async def send(self, chat_id: int, kind: MediaType, content: bytes, name: str) -> str:
        """Its file_id. Raises Problem."""
        from telegram.error import TelegramError

        from ballast.telegram.bot import make_bot
        from ballast.telegram.errors import SendStatus, classify

        if self._bot is None:
            self._bot = make_bot(self._settings, connections=2)
        send: Any = getattr(self._bot, f"send_{kind}")
        try:
            message = await send(
                chat_id,
                content,
                filename=name or None,
                disable_notification=True,
                write_timeout=UPLOAD_SECONDS_MAX,
                read_timeout=UPLOAD_SECONDS_MAX,
            )
        except TelegramError as error:
            result = classify(error)
            if result.meaning in {SendStatus.WAIT, SendStatus.UNKNOWN}:
                raise Problem(
                    504,
                    "outcome-unknown",
                    gettext("Telegram did not say whether it took the file; another try may send it twice."),
                    retry_after_seconds=result.retry_after_seconds or 5.0,
                ) from error
            raise Problem(
                409, "unsendable", gettext("Telegram refuses the file: {why}", why=result.description)
            ) from error
        attached = message.effective_attachment
        return str((attached[-1] if isinstance(attached, list | tuple) else attached).file_id)

    async def close(self) -> None:
        if self._bot is not None:
            await self._bot.request.shutdown()


@router.post(
    "/media",
    summary="Make a file known to Telegram",
    responses=error_responses(*OF_ACTS),
    openapi_extra=_BODY,
)
async def upload_media(
    caller: Annotated[Caller, Depends(Requires(Permission.BROADCAST))],
    api: Annotated[Services, Depends(services)],
    type: MediaType,
    telegram_id: Annotated[int, TelegramId],
    key: Annotated[str, Depends(idempotency_key)],
    request: Request,
    response: Response,
    name: Annotated[str, Query(max_length=255)] = "",
) -> Uploaded:
    """The body is the file, 20 MB at most. telegram_id: of the admin to whom it is sent."""
    content = await request.body()
    if telegram_id not in api.settings.admin_ids:
        raise Problem(409, "conflict", gettext("A file is sent to one of ADMIN_IDS."))
    if not content:
        raise Problem(409, "unsendable", gettext("Expected a file."))
    order = Order(caller, key, "broadcast.upload", f"{type} {telegram_id}")
    known = f"ballast:broadcasts:media:{key}"
    found = await api.database.run(
        lambda engine: _known(api.redis, known) if order.was_done(engine) else None, name="api.media"
    )
    if found is not None:
        response.headers[REPLAYED] = "true"
        return Uploaded(type=type, file_id=found)
    file_id = await api.uploader.send(telegram_id, type, content, name)

    def remember(engine: Any) -> None:
        api.redis.set(known, file_id, ex=KNOWN_SECONDS)
        admin_actions.record(engine, order.for_the_audit_log(), DONE)

    await api.database.run(remember, name="api.media")
    return Uploaded(type=type, file_id=file_id)


def _known(client: redis.Redis, key: str) -> str | None:
    found = client.get(key)
    return found.decode() if isinstance(found, bytes) else None
