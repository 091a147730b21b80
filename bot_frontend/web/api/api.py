"""The API as a part of the frontend's app: its paths, what answers errors there, and who may call."""

from __future__ import annotations

from typing import Any

import psycopg2.errors
import redis
import structlog
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ballast.failed_jobs import FailedJobRefused
from ballast.inbox import Inbox, Publisher
from ballast.snooze import Snoozed
from bot_frontend.web.access import Access
from bot_frontend.web.api import (
    approvals,
    broadcasts,
    composing,
    csv_lists,
    failed_jobs,
    fleet,
    holds,
    many_jobs,
    media,
    operators,
    transfers,
    users,
    users_beside,
    waiting_jobs,
    withdrawals,
)
from bot_frontend.web.api.callers import PREFIX, Callers
from bot_frontend.web.api.database import Database
from bot_frontend.web.api.keys import Keys
from bot_frontend.web.api.media import Uploader
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.request_rate import RequestRate
from bot_frontend.web.api.services import Services
from bot_frontend.web.api.translation import problem_of
from bot_frontend.web.session_list import SessionList
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway
from dbcore.settings import Settings

log = structlog.get_logger(__name__)


class Api:
    """Of one frontend."""

    def __init__(self, settings: Settings, client: redis.Redis, inbox: Inbox, publisher: Publisher) -> None:
        self._database = Database(settings)
        self._rate = RequestRate(settings.api_requests_per_minute)
        self._uploader = Uploader(settings)
        self.services = Services(settings, self._database, client, inbox, publisher, self._uploader)

    def middleware(self, access: Access) -> Middleware:
        return Middleware(Callers, access, Keys(self._database), self._rate)

    def include_in(self, app: FastAPI, sessions: SessionList) -> None:
        app.state.api = self.services
        app.state.sessions = sessions
        key = HTTPBearer(
            scheme_name="apiKey", description="OPS_TOKEN, or a key of `ballast keys create`", auto_error=False
        )
        router = APIRouter(prefix=PREFIX, dependencies=[Depends(key)])
        parts = (
            *(users, approvals, users_beside, transfers, holds, withdrawals, csv_lists),
            *(many_jobs, waiting_jobs, failed_jobs, fleet),
            *(composing, media, broadcasts, operators),
        )
        for part in parts:
            router.include_router(part.router)
        app.include_router(router)
        for error in _TRANSLATED:
            app.add_exception_handler(error, _answered)

    async def close(self) -> None:
        await self._uploader.close()
        await self._database.close()


_TRANSLATED: tuple[type[Exception], ...] = (
    Problem,
    DatabaseAway,
    redis.RedisError,
    Snoozed,
    BroadcastRefused,
    FailedJobRefused,
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedFunction,
    RequestValidationError,
    HTTPException,
    Exception,
)


async def _answered(request: Request, error: Exception) -> Response:
    if not request.url.path.startswith(f"{PREFIX}/"):
        # As Starlette answers by itself.
        if isinstance(error, HTTPException):
            return PlainTextResponse(error.detail, status_code=error.status_code, headers=error.headers)
        return PlainTextResponse("Internal Server Error", status_code=500)
    problem = problem_of(error) or Problem(500, "internal", "It is in the frontend's log.")
    response = problem.response()
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def as_problems(document: dict[str, Any]) -> None:
    """Say in the OpenAPI document that the API's errors are problem details."""
    schema = {"$ref": "#/components/schemas/Problem"}
    for path, operations in document["paths"].items():
        if not path.startswith(f"{PREFIX}/"):
            continue
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    response["content"] = {"application/problem+json": {"schema": schema}}
