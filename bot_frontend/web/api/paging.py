"""Lists of any length, by keys: a page ends with the cursor of the next one, which says where that begins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from dbcore.expectations import shaped

LIMIT_MAX = 100
LIMIT = 50

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many there are on the page, at most")]
CURSOR = shaped(r"^[0-9]{1,18}$", "the next_cursor of the page before")
Cursor = Annotated[
    str | None,
    Query(
        pattern=CURSOR,
        description="The `next_cursor` of the page before; for the first page none",
    ),
]


def cursor_of(place: int | None) -> str | None:
    """place -- where the next page begins; None at the end."""
    return None if place is None else str(place)


def place_of(cursor: str | None) -> int | None:
    """None for the first page."""
    return None if cursor is None else int(cursor)
