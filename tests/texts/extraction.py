"""The texts of the code, which take a second or two to read: once a process."""

from __future__ import annotations

from functools import cache

from babel.messages.catalog import Catalog

from devstack import texts


@cache
def extracted() -> dict[texts.Domain, Catalog]:
    """To be read and left as they are."""
    return texts.extracted()
