"""The webhooks of apps and of providers of payments: what is sent is on record, as a job, before it is answered 200.

The app's function, or the provider's adapter, says whether it is genuine and which job it stands for. That is somebody
else's code in the process that takes Telegram's updates, so it runs in threads of its own, for a bounded time. What was
sent is never logged.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import redis
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ballast.apps.discovery import Registry
from ballast.inbox import Acceptance, Batcher
from ballast.jobs import OWNER, JobInvalid
from ballast.providers import door
from ballast.providers.provider import Provider
from ballast.queueing.envelope import Envelope, enqueued_lane
from ballast.webhooks import PREFIX, Received, Receiving, WebhookRequest
from bot_frontend.intake import Intake, IntakeFull
from bot_frontend.web.request_body import read_body
from dbcore.fingerprints import fingerprint
from dbcore.guard.refusal import Refuse
from dbcore.guard.threads import Reply, Slots

log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 262_144
JOB_LENGTH_MAX = 262_144

SECONDS_MAX = 5.0

THREAD = "app-webhook"
THREADS = 4

RETRY_AFTER_SECONDS = 5


class AppWebhooks:
    """
    providers -- that are set up, by their names.
    seconds_max -- for an app's function, and for a free thread.
    """

    def __init__(
        self,
        registry: Registry,
        intake: Intake,
        providers: Mapping[str, Provider] | None = None,
        *,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._registry = registry
        self._providers = providers or {}
        self._seconds_max = seconds_max
        self._intake = Batcher(intake.take_jobs)
        # Apart, so that a function of an app that never returns keeps no payment waiting.
        self._threads = {PREFIX: Slots(THREADS), door.PREFIX: Slots(THREADS)}

    def routes(self) -> list[Route]:
        return [
            Route(f"{PREFIX}/{app.name}{path}", self._endpoint(app.name, path, receiving), methods=["POST"])
            for app in self._registry.apps
            for path, receiving in app.webhooks.items()
        ] + [
            Route(
                f"{door.PREFIX}/{name}",
                self._endpoint(door.PREFIX, f"/{name}", door.receiving(provider)),
                methods=["POST"],
            )
            for name, provider in self._providers.items()
        ]

    def _endpoint(
        self, app: str, path: str, receiving: Receiving
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await read_body(request, BODY_BYTES_MAX)
            if body is None:
                return JSONResponse({"error": f"more than {BODY_BYTES_MAX} bytes"}, status_code=413)
            sent = WebhookRequest(
                body, request.headers, request.query_params, self._registry.settings.get(app)
            )
            try:
                received = await self._in_a_thread(
                    receiving, sent, self._threads[door.PREFIX if app == door.PREFIX else PREFIX]
                )
                envelope = None if received is None else self._envelope(app, path, received)
            except Refuse as refuse:
                log.info("webhook_refused", app=app, path=path)
                return JSONResponse({"error": refuse.message}, status_code=400)
            except TimeoutError as error:
                log.error("webhook_failed", app=app, path=path, error=type(error).__name__)
                return _try_again_later("not done in time")
            except Exception as error:  # noqa: BLE001  the edge of an app's function
                log.error("webhook_failed", app=app, path=path, error=_told(error))
                return JSONResponse({"error": "this cannot be processed"}, status_code=500)
            return Response(status_code=200) if envelope is None else await self._recorded(envelope)

        return endpoint

    async def _in_a_thread(
        self, receiving: Receiving, sent: WebhookRequest, threads: Slots
    ) -> Received | None:
        """Raises TimeoutError, and whatever the function raises."""
        until = time.monotonic() + self._seconds_max
        await threads.acquire(until)
        reply: Reply[Received | None] = Reply()

        def run() -> None:
            try:
                received = _receive(receiving, sent, until)
            except Exception as error:  # noqa: BLE001  rises in the request
                reply.fail(error)
            except BaseException as error:  # noqa: BLE001  it ends the request, and not the frontend
                reply.fail(RuntimeError(type(error).__name__).with_traceback(error.__traceback__))
            else:
                reply.give(received)
            finally:
                threads.release()

        # A daemon: a function that hangs must not keep the frontend from ending.
        thread = threading.Thread(target=run, name=THREAD, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads
            threads.release()
            raise
        await asyncio.wait([reply.given], timeout=max(0.0, until - time.monotonic()))
        if not reply.given.done():
            raise TimeoutError
        return reply.taken()

    def _envelope(self, app: str, path: str, received: Received) -> Envelope:
        job = received.job
        if app != door.PREFIX:
            self._registry.require_job(job.kind)
        if len(job.model_dump_json()) > JOB_LENGTH_MAX:
            raise JobInvalid(f"{job.kind}: expected up to {JOB_LENGTH_MAX:,} characters of JSON")
        job_id = f"webhook-{fingerprint(app, path, received.key)}"
        telegram_id = getattr(job, OWNER, None)
        lane = enqueued_lane(job_id, job.kind, job.model_dump(mode="json"), telegram_id)
        return Envelope.of(job, job_id=job_id, lane=lane)

    async def _recorded(self, envelope: Envelope) -> Response:
        taken = await self._intake.do(envelope)
        if isinstance(taken, redis.RedisError | IntakeFull):
            log.warning("webhook_waits", kind=envelope.kind, error=type(taken).__name__)
            return _try_again_later("cannot record this now")
        if taken in {Acceptance.FULL, Acceptance.CROWDED}:
            log.warning("webhook_waits", kind=envelope.kind, error=taken)
            return _try_again_later("too much is waiting")
        return Response(status_code=200)


def _receive(receiving: Receiving, sent: WebhookRequest, until: float) -> Received | None:
    """until -- on the monotonic clock: a coroutine is cancelled then. Nothing can cancel a plain function."""
    outcome: Any = receiving(sent)
    if inspect.isawaitable(outcome):
        outcome = asyncio.run(_awaited(outcome, until))
    if outcome is not None and not isinstance(outcome, Received):
        raise TypeError(f"expected Received or None from the webhook, got {type(outcome).__name__}")
    return outcome


async def _awaited(outcome: Any, until: float) -> Any:
    async with asyncio.timeout(until - time.monotonic()):
        return await outcome


def _try_again_later(why: str) -> Response:
    return JSONResponse({"error": why}, status_code=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _told(error: Exception) -> str:
    """Its type and place. Its words may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{where}"
