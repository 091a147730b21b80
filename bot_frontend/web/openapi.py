"""The OpenAPI document of the JSON endpoints, for machines. docs/endpoints.md says the same to people."""

from __future__ import annotations

from typing import Any

from ballast.builtin.status import ACTION_ID, BROADCAST_ID, REFERENCE
from ballast.status.health import DatabaseState, HealthLevel
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.ledger.books import ACCOUNTS
from dbcore.ledger.star_book import DifferenceKind
from dbcore.quota import QuotaState
from dbcore.redis_condition import RedisTrouble

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


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


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
_READY = _object(status=_one_of("ok", "down"), reason=_or_null(_TEXT))
_REDIS = _object(ok=_BOOLEAN, error=_or_null(_TEXT), troubles=_list(_one_of(*RedisTrouble)))
_TELEGRAM = _object(
    mode=_or_null(_one_of("polling", "webhook")),
    ok=_or_null(_BOOLEAN),
    error=_or_null(_TEXT),
    age_seconds=_or_null(_SECONDS),
    pending=_or_null(_COUNT),
)
_BACKUP = _object(proven_age_seconds=_or_null(_SECONDS), overdue=_BOOLEAN, failed=_BOOLEAN)
_STARS = _object(
    compared_age_seconds=_or_null(_SECONDS),
    is_reading=_BOOLEAN,
    transactions=_or_null(_COUNT),
    balance=_or_null({"type": "integer"}),
    open=_or_null(_COUNT),
    differences=_list(
        _object(
            difference=_one_of(*DifferenceKind),
            charge_id=_TEXT,
            telegram_stars=_or_null({"type": "integer"}),
            ledger_stars=_or_null({"type": "integer"}),
            accepted=_BOOLEAN,
            is_booked_by_charge_id=_BOOLEAN,
        )
    ),
)
_BOOKS = _object(
    age_seconds=_or_null(_SECONDS),
    sheet=_list(_object(currency=_TEXT, account=_one_of(*ACCOUNTS), balance=_TEXT, entries=_COUNT)),
    seal=_or_null(_COUNT),
    seal_hash=_or_null(_TEXT),
    unsealed_entries=_or_null(_COUNT),
    broken_seals=_or_null(_COUNT),
)
_HEALTH = _object(
    status=_one_of("ok", "degraded", "down"),
    redis=_REDIS,
    telegram=_TELEGRAM,
    database=_object(state=_DATABASE, breaker=_BREAKER),
    workers=_object(alive=_or_null(_COUNT), lost_to_one_job=_COUNT),
    inbox=_object(
        size=_or_null(_COUNT),
        oldest_seconds=_or_null(_SECONDS),
        overdue_seconds=_or_null(_SECONDS),
        overdue_queue=_or_null(_TEXT),
    ),
    queues=_COUNTS,
    unattended_queues=_list(_TEXT),
    backup=_BACKUP,
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
        probed_by=_list(_TEXT),
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


_STATUS = _object(
    version=_TEXT,
    now=_SECONDS,
    age_seconds=_or_null(_SECONDS),
    verdict=_object(state=_one_of(*HealthLevel), title=_TEXT, words=_TEXT),
    redis=_REDIS,
    telegram=_TELEGRAM,
    database=_object(
        state=_DATABASE,
        version=_or_null(_TEXT),
        bytes=_or_null(_COUNT),
        latency_ms=_or_null(_SECONDS),
        probe_ok=_or_null(_BOOLEAN),
        probe_kind=_or_null(_TEXT),
        probe_age_seconds=_or_null(_SECONDS),
        server_connections=_or_null(_COUNT),
        server_connections_max=_or_null(_COUNT),
    ),
    breaker=_object(
        state=_BREAKER,
        reason=_or_null(_one_of(*BreakerReason)),
        since=_or_null(_SECONDS),
        for_seconds=_or_null(_SECONDS),
        next_probe_seconds=_or_null(_SECONDS),
        paused_by=_or_null(_TEXT),
        words=_TEXT,
        processes_open=_COUNT,
    ),
    queues=_list(_object(name=_TEXT, length=_COUNT, attended=_BOOLEAN)),
    inbox=_object(
        size=_or_null(_COUNT),
        held_back=_or_null(_COUNT),
        oldest_seconds=_or_null(_SECONDS),
        overdue_seconds=_or_null(_SECONDS),
        overdue_queue=_or_null(_TEXT),
    ),
    throughput=_object(
        commands_per_minute=_or_null(_SECONDS),
        answers_per_minute=_or_null(_SECONDS),
        answer_p50_seconds=_or_null(_SECONDS),
        answer_p95_seconds=_or_null(_SECONDS),
    ),
    dead_letters=_object(
        open=_or_null(_COUNT),
        age_seconds=_or_null(_SECONDS),
        items=_list(_object(reference=_TEXT, kind=_TEXT, at=_SECONDS, error=_TEXT)),
    ),
    workers=_list(
        _object(
            name=_TEXT,
            host=_or_null(_TEXT),
            pid=_or_null(_COUNT),
            queues=_list(_TEXT),
            beat_age_seconds=_SECONDS,
            breaker=_TEXT,
            doing=_list(_object(kind=_TEXT, seconds=_SECONDS)),
        )
    ),
    connections=_object(open=_or_null(_COUNT), possible=_or_null(_COUNT), budget=_or_null(_COUNT)),
    quota=_object(
        state=_one_of(*QuotaState),
        used_hours=_or_null(_SECONDS),
        compute_hours=_or_null(_SECONDS),
        used_up_at=_or_null(_SECONDS),
        renews_at=_or_null(_SECONDS),
    ),
    backup=_BACKUP,
    stars=_STARS,
    books=_BOOKS,
    broadcasts=_object(
        age_seconds=_or_null(_SECONDS),
        stuck=_list(_COUNT),
        items=_list(
            _object(
                id=_COUNT,
                status=_TEXT,
                audience=_or_null(_COUNT),
                sent=_COUNT,
                blocked=_COUNT,
                failed=_COUNT,
                unknown=_COUNT,
                rate=_or_null(_SECONDS),
                eta_seconds=_or_null(_SECONDS),
                halted_reason=_or_null(_TEXT),
                scheduled_for=_or_null(_SECONDS),
            )
        ),
    ),
    transitions=_list(
        _object(
            at=_SECONDS,
            before=_one_of(*BreakerState),
            after=_one_of(*BreakerState),
            reason=_or_null(_one_of(*BreakerReason)),
            by=_TEXT,
        )
    ),
    outages=_list(
        _object(
            began_at=_SECONDS,
            ended_at=_or_null(_SECONDS),
            duration_seconds=_SECONDS,
            reason=_or_null(_one_of(*BreakerReason)),
            paused_by=_or_null(_TEXT),
            failed_probes=_COUNT,
            jobs_waited=_COUNT,
            longest_wait_seconds=_SECONDS,
        )
    ),
    alarms=_list(_object(name=_TEXT, since=_SECONDS)),
    recent_actions=_list(_object(at=_SECONDS, actor=_TEXT, action=_TEXT, target=_TEXT, outcome=_TEXT)),
    actions=_object(
        allowed=_BOOLEAN, why_not=_or_null(_TEXT), csrf=_or_null(_TEXT), signed_in_as=_or_null(_TEXT)
    ),
)
_PROBES = _object(
    probes=_list(
        {
            "type": "array",
            # Each of its own sort, in this order; prefixItems would say so, and few tools read it.
            "items": {"anyOf": [_SECONDS, _BOOLEAN, _TEXT, {"type": "null"}]},
            "minItems": 5,
            "maxItems": 5,
        }
    )
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


def _order(target: Schema, *actions: str) -> Schema:
    return _object(action=_one_of(*actions), target=target, id={"type": "string", "pattern": ACTION_ID})


_ORDERS = {
    "oneOf": [
        _order(_one_of(""), "breaker.open", "breaker.close", "breaker.auto"),
        _order({"type": "string", "pattern": REFERENCE}, "dead_letter.retry", "dead_letter.discard"),
        _order(
            {"type": "string", "pattern": BROADCAST_ID},
            "broadcast.pause",
            "broadcast.resume",
            "broadcast.cancel",
        ),
    ]
}
_actions = {
    "post": {
        "summary": "Order something; the same id again orders it once",
        "security": [{"opsToken": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ORDERS}}},
        "responses": {
            "202": _answer(
                "Done, or queued.", _object(id=_TEXT, state=_one_of("done", "queued"), words=_TEXT)
            ),
            "400": _answer("No such order.", _ERROR),
            "401": _answer("Without OPS_TOKEN's value.", _ERROR),
            "403": _answer("OPS_TOKEN is not set, or a page of another address sent it.", _ERROR),
            "409": _answer("The id came before, with another order.", _ERROR),
            "503": _answer("It cannot be taken now.", _ERROR),
        },
    }
}

_FOUND_JOB = _object(
    reference=_TEXT,
    job_id=_or_null(_TEXT),
    state=_one_of("held_back", "queued", "running", "behind", "delayed", "answering", "finished", "failed"),
    kind=_or_null(_TEXT),
    telegram_id=_or_null(_COUNT),
    username=_or_null(_TEXT),
    since=_or_null(_SECONDS),
    age_seconds=_or_null(_SECONDS),
    deliveries=_COUNT,
    waits_for=_TEXT,
)
_job = _page("Where a job is, by the reference that its user was told", _FOUND_JOB, details=True)
_job["get"]["parameters"] = [
    {"name": "reference", "in": "path", "required": True, "schema": {"type": "string", "pattern": REFERENCE}}
]
_job["get"]["responses"] |= {
    "400": _answer("It is no reference.", _ERROR),
    "404": _answer("No job on record, finished since yesterday or listed as failed has it.", _ERROR),
    "503": _answer("Redis does not answer.", _ERROR),
}

_ready = _page("Whether jobs can be taken", _READY)
_ready["get"]["responses"]["503"] = _answer("Redis does not answer.", _READY)

_metrics = _page("The same as figures for Prometheus", _TEXT, details=True)
_metrics["get"]["responses"]["200"] = {
    "description": "What was seen last, in Prometheus's text format.",
    "content": {"text/plain": {"schema": _TEXT}},
}


def _csv(summary: str) -> dict[str, Any]:
    page = _page(summary, _TEXT, details=True)
    page["get"]["responses"]["200"] = {
        "description": "A header and a line for each row.",
        "content": {"text/csv": {"schema": _TEXT}},
    }
    return page


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
        "/status.json": _page("All that the status page shows", _STATUS, details=True),
        "/status/probes.json": _page(
            "The last hours' probes: time, whether well, how asked, latency in ms, kind of failure",
            _PROBES,
            details=True,
        ),
        "/books.csv": _csv("The balance sheet of the ledger"),
        "/star-differences.csv": _csv("How Telegram's book of Stars differs from the ledger"),
        "/jobs/{reference}": _job,
        "/actions": _actions,
    },
    "components": {"securitySchemes": {"opsToken": {"type": "http", "scheme": "bearer"}}},
}
