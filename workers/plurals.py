"""How many of something there are, as people say it."""

from __future__ import annotations


def counted(number: int, one: str, many: str) -> str:
    """1 job, 1,250 jobs."""
    return f"{number:,} {one if number == 1 else many}"
