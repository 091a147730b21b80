"""The language of a page for everybody: the first that the reader's browser asks for and there are texts in."""

from __future__ import annotations

from ballast.texts import ENGLISH, negotiated

RANGES_MAX = 20
"""Of a header's languages so many are looked at; browsers name a handful."""


def accepted_language(header: str) -> str:
    """header -- Accept-Language, such as `de-AT,de;q=0.9,en;q=0.5`. English where nothing else fits."""
    ranges = []
    for part in header.split(",")[:RANGES_MAX]:
        tag, _, parameters = part.strip().partition(";")
        weight = _weight(parameters.strip())
        if weight > 0:
            ranges.append((weight, tag.strip()))
    for _, tag in sorted(ranges, key=lambda each: -each[0]):
        language = negotiated(tag)
        if language != ENGLISH or tag.lower().partition("-")[0] == ENGLISH:
            return language
    return ENGLISH


def _weight(parameters: str) -> float:
    """1 where none is given; 0 for what is none."""
    if not parameters:
        return 1.0
    name, _, value = parameters.partition("=")
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if name.strip() == "q" and 0 <= weight <= 1 else 0.0
