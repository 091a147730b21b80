"""Errors of what the API calls, as problems: the one place that knows which is which."""

from __future__ import annotations

from http import HTTPStatus

import psycopg2.errors
import redis
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ballast.builtin.composition import Unsendable
from ballast.queueing.failed_jobs import FailedJobRefused
from ballast.queueing.snooze import Snoozed
from bot_frontend.web.api.problems import Problem
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.expectations import expectation
from dbcore.text import one_line

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5.0
ERRORS_SHOWN_MAX = 20
DETAIL_LENGTH_MAX = 300

_CODES = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}


def problem_of(error: Exception) -> Problem | None:
    """None for what is nobody's doing but ours."""
    match error:
        case Problem():
            return error
        case OutcomeUnknown():
            return Problem(
                504,
                "outcome-unknown",
                "The database gave no answer; the same Idempotency-Key tells whether it was done.",
                retry_after_seconds=error.retry_after_seconds or RETRY_AFTER_SECONDS,
                failure=str(error.kind),
            )
        case DatabaseAway():
            return Problem(
                503,
                "unavailable",
                "The database is unavailable; nothing was done.",
                retry_after_seconds=error.retry_after_seconds or RETRY_AFTER_SECONDS,
                failure=str(error.kind),
            )
        case redis.RedisError():
            log.warning("api_without_redis", error=type(error).__name__)
            return Problem(
                503,
                "unavailable",
                "Redis gave no answer; the same Idempotency-Key does no harm.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        case Snoozed():
            return Problem(503, "unavailable", "The inbox is full.", retry_after_seconds=RETRY_AFTER_SECONDS)
        case psycopg2.errors.UndefinedTable() | psycopg2.errors.UndefinedFunction():
            log.error("api_without_schema", repair="ballast migrate", exc_info=error)
            return Problem(
                503,
                "unavailable",
                "The database is not migrated.",
                retry_after_seconds=60.0,
                failure="schema",
            )
        case BroadcastRefused() | FailedJobRefused():
            return Problem(409, "conflict", _line(str(error)))
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            code = _CODES.get(error.status_code, "bad-request")
            return Problem(error.status_code, code, HTTPStatus(error.status_code).phrase)
    return None


def _invalid(error: RequestValidationError) -> Problem:
    of_key = [each for each in error.errors() if each["loc"] == ("header", "Idempotency-Key")]
    if of_key and of_key[0]["type"] == "missing":
        return Problem(400, "idempotency-key-missing", "Expected the header Idempotency-Key.")
    if of_key:
        return Problem(
            400, "bad-request", "Idempotency-Key: expected 1 to 64 letters, digits or any of . _ : -"
        )
    contradictions = [each["ctx"]["error"] for each in error.errors() if each["type"] == "value_error"]
    if all(isinstance(each, Unsendable) for each in contradictions) and len(contradictions) == len(
        error.errors()
    ):
        return Problem(409, "unsendable", _line("; ".join(map(str, contradictions))))
    errors = [
        {"at": ".".join(str(part) for part in each["loc"]), "message": expectation(each)}
        for each in error.errors()[:ERRORS_SHOWN_MAX]
    ]
    return Problem(
        422, "invalid", _line("; ".join(f"{one['at']}: {one['message']}" for one in errors)), errors=errors
    )


def _line(text: str) -> str:
    return one_line(text, DETAIL_LENGTH_MAX)
