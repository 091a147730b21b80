"""What several of the API's answers have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, PlainSerializer

from dbcore.ledger.users import TELEGRAM_ID_LIMIT
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Party
from dbcore.sentences import Refusal, sentence
from dbcore.text import is_blank

T = TypeVar("T", bound=BaseModel)

REASON_LENGTH_MAX = 200


class Unseen(Refusal):
    """A text of which people see nothing."""


Moment = Annotated[
    datetime, PlainSerializer(lambda moment: moment.isoformat(), return_type=str, when_used="json")
]
"""ISO 8601, with its offset from UTC."""


Amount = Annotated[
    int,
    Field(strict=True, gt=0, le=MAX_AMOUNT, description="Minor units, above zero"),
    BeforeValidator(lambda value: _whole(value)),
]
"""That is to be moved. A number, and no text: money is not guessed at. 5.0 is 5, as JSON has it."""

Whom = Annotated[
    int,
    Field(strict=True, gt=0, lt=TELEGRAM_ID_LIMIT, description="A Telegram id"),
    BeforeValidator(lambda value: _whole(value)),
]
"""Of a body."""

Time = Annotated[
    AwareDatetime,
    BeforeValidator(lambda text: _with_date(text)),
    AfterValidator(lambda time: _in_utc(time)),
]
"""Of a filter: ISO 8601 with an offset."""

Seen = AfterValidator(lambda text: _seen(text))
"""Of a text that people are to read."""

SeenIfAny = AfterValidator(lambda text: text and _seen(text))

Reason = Annotated[
    str, Field(min_length=1, max_length=REASON_LENGTH_MAX, description="Why, for the audit log"), Seen
]

Minor = Annotated[int | None, Query(ge=0, lt=2**63, description="Minor units")]
"""Of a filter."""


class Page(BaseModel, Generic[T]):
    """A page of a list, newest first."""

    items: list[T]
    next_cursor: str | None = Field(
        description="The `cursor` of the next page; null after the last one. A page may be shorter than `limit`, "
        "or empty, and not be the last one."
    )


class Person(BaseModel):
    """Somebody as others see them. Names are as Telegram said them last."""

    telegram_id: int
    username: str | None
    first_name: str

    @classmethod
    def of(cls, party: Party | None) -> Person | None:
        if party is None:
            return None
        return cls(telegram_id=party.telegram_id, username=party.username, first_name=party.first_name)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: the problems of every path of the API, and these."""
    return {status: {"description": _WHAT[status]} for status in sorted({*_OF_ALL, *statuses})}


_OF_ALL = (401, 403, 413, 422, 429, 503)
_WHAT = {
    400: "The request, or its Idempotency-Key, is malformed.",
    401: "No key, or a wrong one.",
    403: "The key lacks the scope.",
    404: "There is no such thing.",
    409: "It cannot be done now, the ledger refused it, or the Idempotency-Key came before with another request.",
    413: "The body is too large.",
    422: "A value is not valid.",
    429: "Too many requests.",
    503: "The database or Redis is unavailable, and nothing was done; the header Retry-After says when to ask again.",
    504: "It may have been done. The same request with the same Idempotency-Key tells.",
}
OF_ACTS = (400, 404, 409, 504)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seen(text: str) -> str:
    if is_blank(text):
        raise Unseen(sentence("expected something that can be seen"))
    return text


def _with_date(text: object) -> object:
    """pydantic takes a number for seconds."""
    if isinstance(text, str) and "-" not in text[1:]:
        raise Refusal(sentence("expected a time such as 2026-12-01T18:00:00+01:00"))
    return text


def _in_utc(time: datetime) -> datetime:
    """PostgreSQL takes fewer offsets than there can be."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise Refusal(sentence("expected a time of the years 1 to 9999")) from None
