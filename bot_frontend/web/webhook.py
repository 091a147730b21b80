"""Telegram's webhook: 200 only once the update is on record, 503 while it cannot be."""

from __future__ import annotations

import hmac
import json

import redis
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ballast.inbox import Batcher
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake import Intake, IntakeFull
from bot_frontend.intake_health import Receiver
from bot_frontend.web.request_body import read_body

log = structlog.get_logger(__name__)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105  a header's name
BODY_BYTES_MAX = 1_000_000
RETRY_AFTER_SECONDS = 2


class Webhook:
    """secret -- what Telegram was given at setWebhook, and must say with every update."""

    def __init__(
        self,
        secret: str,
        intake: Intake,
        callbacks: CallbackAnswers,
        receiver: Receiver,
        checkouts: Checkouts,
    ) -> None:
        self._secret = secret.encode()
        self._checkouts = checkouts
        self._intake = Batcher(intake.take_many)
        self._callbacks = callbacks
        self._receiver = receiver

    async def receive(self, request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._secret):
            return JSONResponse({"error": f"wrong or missing {SECRET_HEADER}"}, status_code=401)
        body = await read_body(request, BODY_BYTES_MAX)
        if body is None:
            return JSONResponse({"error": f"more than {BODY_BYTES_MAX} bytes"}, status_code=413)
        try:
            update = json.loads(body)
        except (ValueError, RecursionError):  # the latter: brackets without end
            return JSONResponse({"error": "expected JSON"}, status_code=400)
        if not isinstance(update, dict):
            return JSONResponse({"error": "expected an Update object"}, status_code=400)
        self._checkouts.answer([update])
        taken = await self._intake.do(update)
        if isinstance(taken, redis.RedisError | IntakeFull):
            log.warning("intake_waits", error=type(taken).__name__)
            self._receiver.failed(type(taken).__name__)
            return JSONResponse(
                {"error": "cannot record updates now"},
                status_code=503,
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        self._receiver.heard()
        if taken is not None:
            self._callbacks.answer(taken)
        return Response(status_code=200)
