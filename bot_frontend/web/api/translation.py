"""Errors of what the API calls, as problems: the one place that knows which is which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg2.errors
import redis
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ballast.builtin.composition import Unsendable
from ballast.queueing.failed_jobs import FailedJobRefused
from ballast.queueing.snooze import Snoozed
from ballast.texts import gettext, said
from bot_frontend.web.api.problems import TITLES, Problem
from dbcore.broadcasts.broadcasts import BroadcastRefused
from dbcore.errors import DatabaseAway, OutcomeUnknown
from dbcore.expectations import expectation
from dbcore.operators import RoleRefused
from dbcore.people.approvals import ApprovalRefused
from dbcore.sentences import Sentence
from dbcore.text import one_line

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5.0
ERRORS_SHOWN_MAX = 20
DETAIL_LENGTH_MAX = 300
"""Of a list of what is wrong; one that is longer by itself is whole."""

AT_LENGTH_MAX = 100
"""Where something is wrong: a field of the request's own may have any name."""

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
                gettext("The database gave no answer; the same Idempotency-Key tells whether it was done."),
                retry_after_seconds=error.retry_after_seconds or RETRY_AFTER_SECONDS,
                failure=str(error.kind),
            )
        case DatabaseAway():
            return Problem(
                503,
                "unavailable",
                gettext("The database is unavailable; nothing was done."),
                retry_after_seconds=error.retry_after_seconds or RETRY_AFTER_SECONDS,
                failure=str(error.kind),
            )
        case redis.RedisError():
            log.warning("api_without_redis", error=type(error).__name__)
            return Problem(
                503,
                "unavailable",
                gettext("Redis gave no answer; the same Idempotency-Key does no harm."),
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        case Snoozed():
            return Problem(
                503, "unavailable", gettext("The inbox is full."), retry_after_seconds=RETRY_AFTER_SECONDS
            )
        case psycopg2.errors.UndefinedTable() | psycopg2.errors.UndefinedFunction():
            log.error("api_without_schema", repair="ballast migrate", exc_info=error)
            return Problem(
                503,
                "unavailable",
                gettext("The database is not migrated."),
                retry_after_seconds=60.0,
                failure="schema",
            )
        case BroadcastRefused() | FailedJobRefused() | ApprovalRefused() | RoleRefused():
            return Problem(409, "conflict", said(error))
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            code = _CODES.get(error.status_code, "bad-request")
            return Problem(error.status_code, code, gettext(TITLES[code]))
    return None


def _invalid(error: RequestValidationError) -> Problem:
    of_key = [each for each in error.errors() if each["loc"] == ("header", "Idempotency-Key")]
    if of_key and of_key[0]["type"] == "missing":
        return Problem(400, "idempotency-key-missing", gettext("Expected the header Idempotency-Key."))
    if of_key:
        return Problem(
            400,
            "bad-request",
            gettext("Idempotency-Key: expected 1 to 64 letters, digits or any of . _ : -"),
        )
    found = error.errors()
    contradictions = [each["ctx"]["error"] for each in found if each["type"] == "value_error"]
    if len(contradictions) == len(found) and all(isinstance(each, Unsendable) for each in contradictions):
        return Problem(409, "unsendable", _listed(map(said, contradictions)))
    errors = [
        {"at": ".".join(map(str, each["loc"])), "message": _expected(each)}
        for each in found[:ERRORS_SHOWN_MAX]
    ]
    told = (
        gettext("{field}: {expected}", field=_short(one["at"]), expected=one["message"]) for one in errors
    )
    return Problem(422, "invalid", _listed(told), errors=errors)


def _expected(error: Mapping[str, Any]) -> str:
    words = expectation(error)
    return said(words) if isinstance(words, Sentence) else one_line(words)


def _short(text: str) -> str:
    """As it may stand in a line of ours."""
    return one_line(text, AT_LENGTH_MAX)


def _listed(sentences: Iterable[str]) -> str:
    """The first few, each whole."""
    first, *others = sentences
    line = first
    for each in others:
        if len(line) + len(each) > DETAIL_LENGTH_MAX:
            return f"{line}; …"
        line = f"{line}; {each}"
    return line
