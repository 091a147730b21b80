"""What the API answers instead of what was asked for: problem details by RFC 9457."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from ballast.texts import gettext, gettext_noop

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:problem-type:ballast:"


class ProblemDetails(BaseModel):
    """Why there is no other answer, by RFC 9457."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(description="Which kind of problem it is; docs/http-api.md lists them")
    title: str = Field(description="The kind in words; the same for each problem of it")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What was wrong this time")


TITLES = {
    "bad-request": gettext_noop("The request is malformed"),
    "idempotency-key-missing": gettext_noop("The header Idempotency-Key is missing"),
    "unauthorized": gettext_noop("No key, or a wrong one"),
    "forbidden": gettext_noop("The key may not do this"),
    "not-found": gettext_noop("There is no such thing"),
    "method-not-allowed": gettext_noop("The method is not allowed here"),
    "conflict": gettext_noop("It cannot be done now"),
    "too-large": gettext_noop("The request is too large"),
    "invalid": gettext_noop("A value is not valid"),
    "unsendable": gettext_noop("Telegram would refuse it, or its parts contradict each other"),
    "idempotency-key-reused": gettext_noop("The Idempotency-Key stands for another request"),
    "rejected": gettext_noop("The ledger refused it"),
    "rate-limited": gettext_noop("Too many requests"),
    "internal": gettext_noop("An error of Ballast's own"),
    "unavailable": gettext_noop("The database or Redis is unavailable; nothing was done"),
    "outcome-unknown": gettext_noop(
        "It may have been done; send the same request with the same Idempotency-Key"
    ),
    "not-configured": gettext_noop("The frontend lacks a setting"),
}
"""The kinds, and what each is."""


class Problem(Exception):
    """Raised by whatever handles a request.

    code -- one of TITLES. detail -- in the caller's language. retry_after_seconds -- when asking again can make sense.
    more -- further members.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after_seconds: float | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.more = more

    def response(self) -> JSONResponse:
        headers = {"Cache-Control": "no-store"}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_seconds)))
        members = {
            "type": TYPE + self.code,
            "title": gettext(TITLES[self.code]),
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(members, status_code=self.status, headers=headers, media_type=MEDIA_TYPE)
