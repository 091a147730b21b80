"""Lists of any length, by keys: a page ends with the cursor of the next one, which says where that begins."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query

from bot_frontend.web.api.problems import Problem

LIMIT_MAX = 100
LIMIT = 50

_PLACE_MAX = 2**63

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many there are on the page, at most")]
Cursor = Annotated[
    str | None,
    Query(max_length=64, description="The `next_cursor` of the page before; for the first page none"),
]


def cursor_of(list_name: str, place: int | None) -> str | None:
    """place -- where the next page begins; None at the end."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{list_name}:{place}".encode()).decode().rstrip("=")


def place_of(list_name: str, cursor: str | None) -> int | None:
    """None for the first page. Raises Problem for what is no cursor of this list."""
    if cursor is None:
        return None
    try:
        name, _, place = (
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        )
    except (ValueError, binascii.Error):
        raise _no_cursor() from None
    if name != list_name or not (place.isascii() and place.isdigit()) or not 0 <= int(place) < _PLACE_MAX:
        raise _no_cursor()
    return int(place)


def _no_cursor() -> Problem:
    return Problem(
        422, "invalid", "cursor: expected the next_cursor of a page of this list with these filters."
    )
