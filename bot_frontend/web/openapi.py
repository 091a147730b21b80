"""The OpenAPI document, made by FastAPI of the paths and their models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import BaseRoute

from ballast.builtin.status import REFERENCE
from bot_frontend.web import public_status
from bot_frontend.web.api.api import as_problems
from bot_frontend.web.api.problems import ProblemDetails
from bot_frontend.web.models import (
    BreakerOrder,
    BroadcastOrder,
    DatabaseStatus,
    DeadLetterOrder,
    Error,
    FoundJob,
    Health,
    Live,
    Ordered,
    OutageReport,
    Probes,
    QueueOrder,
    Ready,
    Stability,
    Status,
    WorkerOrder,
)

_DETAILS: dict[str, Any] = {"security": [{"opsToken": []}, {}]}
"""Without OPS_TOKEN the loopback address needs none."""


def described(
    model: type[BaseModel] | None,
    *,
    details: bool = False,
    errors: dict[int, str] | None = None,
    **operation: Any,
) -> dict[str, Any]:
    """What an endpoint that answers by itself says of itself, as options of a FastAPI route.

    model -- of its answer. details -- whether it tells what OPS_TOKEN opens. errors -- what else it answers, by status.
    """
    responses: dict[int | str, dict[str, Any]] = {200: {"description": "What was seen last."}}
    if model is not None:
        responses[200]["model"] = model
    if details:
        responses[401] = {"description": "Without OPS_TOKEN's value.", "model": Error}
    responses |= {
        status: {"description": description, "model": Error} for status, description in (errors or {}).items()
    }
    return {
        "response_model": None,
        "responses": responses,
        "openapi_extra": {**(_DETAILS if details else {}), **operation},
    }


def _order_body() -> dict[str, Any]:
    """Of `/actions`, which reads its body by itself."""
    schema = TypeAdapter(
        BreakerOrder | DeadLetterOrder | BroadcastOrder | QueueOrder | WorkerOrder
    ).json_schema(ref_template="#/components/schemas/{model}")
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": schema["anyOf"]}}}}


READY = described(Ready)
READY["responses"][503] = {"description": "Redis does not answer.", "model": Ready}

CSV = described(None, details=True)
CSV["response_class"] = PlainTextResponse
CSV["responses"][200] = {
    "description": "A header and a line for each row.",
    "content": {"text/csv": {"schema": {"type": "string"}}},
}

STATUS_PAGE = described(None)
STATUS_PAGE["response_class"] = HTMLResponse

METRICS = described(None, details=True)
METRICS["response_class"] = PlainTextResponse
METRICS["responses"][200]["description"] = "What was seen last, in Prometheus's text format."

JOB = described(
    FoundJob,
    details=True,
    errors={
        400: "It is no reference.",
        404: "No job on record, finished since yesterday or listed as failed has it.",
        503: "Redis does not answer.",
    },
    parameters=[
        {
            "name": "reference",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": REFERENCE},
        }
    ],
)

ACTIONS = described(
    None,
    errors={
        400: "No such order.",
        401: "Without OPS_TOKEN's value.",
        403: "OPS_TOKEN is not set, or a page of another address sent it.",
        409: "The id came before, with another order.",
        503: "It cannot be taken now.",
    },
    security=[{"opsToken": []}],
    requestBody=_order_body(),
)
ACTIONS |= {"methods": ["POST"], "status_code": 202}
ACTIONS["responses"][202] = {"description": "Done, or queued.", "model": Ordered}
del ACTIONS["responses"][200]


STATUS: dict[str, tuple[str, dict[str, Any]]] = {
    "/health/live": ("Whether the process runs", described(Live)),
    "/health/ready": ("Whether jobs can be taken", READY),
    "/health": ("Basic connectivity", described(Health)),
    "/db-status": ("PostgreSQL as the last probe found it", described(DatabaseStatus, details=True)),
    "/db-stability": ("The stability system", described(Stability, details=True)),
    "/metrics": ("The same as figures for Prometheus", METRICS),
    "/status.json": ("All that the status page shows", described(Status, details=True)),
    "/status/probes.json": (
        "The last hours' probes: time, whether well, how asked, latency in ms, kind of failure",
        described(Probes, details=True),
    ),
    "/outages.json": (
        "The outages of the last weeks, and the uptime",
        described(OutageReport, details=True),
    ),
    "/books.csv": ("The balance sheet of the ledger", CSV),
    "/books-days.csv": ("The ledger's totals of the last days, by account and kind of transfer", CSV),
    "/outages.csv": ("The same outages as a file, a line each", CSV),
    "/star-differences.csv": ("How Telegram's book of Stars differs from the ledger", CSV),
    "/provider-differences.csv": ("How what other providers list differs from the ledger", CSV),
    "/jobs/{reference}": ("Where a job is, by the reference that its user was told", JOB),
    public_status.PATH: ("Whether the bot works, for everybody; a page for browsers", STATUS_PAGE),
    "/actions": ("Order something; the same id again orders it once", ACTIONS),
}
"""What bot_frontend/web/app.py serves by itself: a summary, and what FastAPI is told."""


def document(status: Mapping[str, Callable[..., Any]], api: Iterable[BaseRoute]) -> dict[str, Any]:
    """Of all paths that say what they answer. status -- those of STATUS that are served. api -- the API's routes."""
    router = APIRouter(tags=["status"])
    for path, endpoint in status.items():
        summary, options = STATUS[path]
        router.add_api_route(path, endpoint, summary=summary, **options)
    made = get_openapi(
        title="Ballast",
        version="1",
        openapi_version="3.1.0",
        description="What the bot, its queue and its database are, as last seen: no answer waits for them. "
        "Below /api/v1 what operators' programs read and do: docs/http-api.md.",
        routes=[*router.routes, *api],
    )
    schemas = made["components"]["schemas"]
    for model in (BreakerOrder, DeadLetterOrder, BroadcastOrder, QueueOrder, ProblemDetails):
        schema = model.model_json_schema()
        schemas[schema["title"]] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    made["components"]["securitySchemes"]["opsToken"] = {"type": "http", "scheme": "bearer"}
    as_problems(made)
    return made
