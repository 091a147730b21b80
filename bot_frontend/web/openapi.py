"""The OpenAPI document of the JSON endpoints, for machines. docs/endpoints.md says the same to people."""

from __future__ import annotations

from typing import Any

from dbcore.breaker_rules import BreakerReason, BreakerState
from dbcore.quota import QuotaState
from workers.verdict import DatabaseState

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    """Every field is always there; what is not known is null."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


_COUNT: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_COUNTS: Schema = {"type": "object", "additionalProperties": _COUNT}
_DATABASE = _one_of(*DatabaseState)
_BREAKER = _one_of(*BreakerState, "unknown")

_ERROR = _object(error=_TEXT)
_LIVE = _object(status=_one_of("ok"))
_READY = _object(status=_one_of("ok", "down"))
_HEALTH = _object(
    status=_one_of("ok", "degraded", "down"),
    redis=_object(ok=_BOOLEAN, error=_or_null(_TEXT)),
    telegram=_object(
        mode=_or_null(_one_of("polling", "webhook")),
        ok=_or_null(_BOOLEAN),
        error=_or_null(_TEXT),
        age_seconds=_or_null(_SECONDS),
    ),
    database=_object(state=_DATABASE, breaker=_BREAKER),
    workers=_object(alive=_or_null(_COUNT)),
    inbox=_object(size=_or_null(_COUNT), oldest_seconds=_or_null(_SECONDS)),
    queues=_COUNTS,
    unattended_queues={"type": "array", "items": _TEXT},
    age_seconds=_or_null(_SECONDS),
)
_DATABASE_STATUS = _object(
    state=_DATABASE,
    probe=_or_null({"type": "object"}),
    probe_age_seconds=_or_null(_SECONDS),
    age_seconds=_or_null(_SECONDS),
)
_STABILITY = _object(
    monitoring=_one_of("active", "unknown"),
    breaker=_object(
        state=_BREAKER,
        reason=_or_null(_one_of(*BreakerReason)),
        since=_or_null(_SECONDS),
        until=_or_null(_SECONDS),
        retry_after_seconds=_or_null(_SECONDS),
        probed_by={"type": "array", "items": _TEXT},
        processes_open=_COUNT,
        processes=_COUNT,
        transitions=_COUNTS,
    ),
    connections=_object(possible=_or_null(_COUNT), open=_or_null(_COUNT)),
    quota=_object(
        state=_one_of(*QuotaState),
        compute_hours=_or_null(_SECONDS),
        used_hours=_or_null(_SECONDS),
        observed_since=_or_null(_SECONDS),
        used_up_at=_or_null(_SECONDS),
        renews_at=_or_null(_SECONDS),
    ),
    failed_operations=_or_null(_COUNT),
    total_failed_operations=_COUNT,
    total_operations=_COUNT,
    engines={"type": "object", "additionalProperties": {"type": "object"}},
    age_seconds=_or_null(_SECONDS),
)


def _answer(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _page(summary: str, schema: Schema, *, details: bool = False) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": _answer("What was seen last.", schema)},
    }
    if details:
        operation["security"] = [{"opsToken": []}, {}]  # without OPS_TOKEN the loopback address needs none
        operation["responses"]["401"] = _answer("Without OPS_TOKEN's value.", _ERROR)
    return {"get": operation}


_ready = _page("Whether jobs can be taken", _READY)
_ready["get"]["responses"]["503"] = _answer("Redis does not answer.", _READY)

_metrics = _page("The same as figures for Prometheus", _TEXT, details=True)
_metrics["get"]["responses"]["200"] = {
    "description": "What was seen last, in Prometheus's text format.",
    "content": {"text/plain": {"schema": _TEXT}},
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Ballast",
        "version": "1",
        "description": "What the bot, its queue and its database are, as last seen. No answer waits for them.",
    },
    "paths": {
        "/health/live": _page("Whether the process runs", _LIVE),
        "/health/ready": _ready,
        "/health": _page("Basic connectivity", _HEALTH),
        "/db-status": _page("PostgreSQL as the last probe found it", _DATABASE_STATUS, details=True),
        "/db-stability": _page("The stability system", _STABILITY, details=True),
        "/metrics": _metrics,
    },
    "components": {"securitySchemes": {"opsToken": {"type": "http", "scheme": "bearer"}}},
}
