"""Roles of operators. What each may do stands in ballast/operators/permissions.py."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """From the least to the most: each may do all that the one before may, and more."""

    VIEWER = "viewer"
    SUPPORT = "support"
    TREASURER = "treasurer"
    OWNER = "owner"

    def includes(self, other: Role) -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}
