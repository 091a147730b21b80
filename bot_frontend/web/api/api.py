"""The API: its paths, what answers errors there, and who may call."""

from __future__ import annotations

from typing import Any

import psycopg2.errors
import redis
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from ballast.inbox import Inbox, Publisher
from ballast.queueing.failed_jobs import FailedJobRefused
from ballast.queueing.snooze import Snoozed
from bot_frontend.web.access import Access
from bot_frontend.web.api import (
    PREFIX,
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
    subscriptions,
    transfers,
    users,
    users_beside,
    waiting_jobs,
    withdrawals,
)
from bot_frontend.web.api.callers import Callers
from bot_frontend.web.api.database import Database
from bot_frontend.web.api.keys import Keys
from bot_frontend.web.api.media import Uploader
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.request_rate import RequestRate
from bot_frontend.web.api.services import Services
from bot_frontend.web.api.translation import problem_of
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway
from dbcore.operators import RoleRefused
from dbcore.people.approvals import ApprovalRefused
from dbcore.settings import Settings

log = structlog.get_logger(__name__)


class Api:
    """Of one frontend. app -- what answers its paths. access -- who calls, where no key of the API says so."""

    def __init__(
        self, settings: Settings, client: redis.Redis, inbox: Inbox, publisher: Publisher, access: Access
    ) -> None:
        self._database = Database(settings)
        self._uploader = Uploader(settings)
        rate = RequestRate(settings.api_requests_per_minute)
        self.app = FastAPI(
            openapi_url=None,
            # As they are: FastAPI would take each path apart once more to include its router.
            routes=[route for part in _PARTS for route in part.router.routes],
            middleware=[Middleware(Callers, access, Keys(self._database), rate)],
            exception_handlers=dict.fromkeys(_TRANSLATED, _answered),
            redirect_slashes=False,  # it would redirect to whatever name was asked for
            telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        )
        self.app.state.api = Services(settings, self._database, client, inbox, publisher, self._uploader)
        self.app.state.sessions = access.sessions

    async def close(self) -> None:
        await self._uploader.close()
        await self._database.close()


_PARTS = (
    *(users, approvals, users_beside, transfers, holds, withdrawals, subscriptions, csv_lists),
    *(many_jobs, waiting_jobs, failed_jobs, fleet),
    *(composing, media, broadcasts, operators),
)

_TRANSLATED: tuple[type[Exception], ...] = (
    Problem,
    DatabaseAway,
    redis.RedisError,
    Snoozed,
    BroadcastRefused,
    FailedJobRefused,
    ApprovalRefused,
    RoleRefused,
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedFunction,
    RequestValidationError,
    HTTPException,
    Exception,
)


async def _answered(_: Request, error: Exception) -> Response:
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
