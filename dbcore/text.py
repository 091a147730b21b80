"""Text from outside, made storable: PostgreSQL keeps neither NUL nor half of a surrogate pair."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text with NUL removed and lone surrogates replaced by `?`; nothing else is touched.

    Both raise inside psycopg2, so one person with a hostile name would otherwise be an error on every retry.
    """
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
