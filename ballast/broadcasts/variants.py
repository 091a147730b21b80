"""The two texts of an A/B test: who gets which, and what of a payload that is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

A, B = "a", "b"


def variant_of(broadcast_id: int, user_id: int) -> str:
    """By chance, and the same whenever it is asked; deliveries.py counts by the same rule."""
    return B if hashlib.sha256(f"{broadcast_id}:{user_id}".encode()).digest()[0] % 2 else A


def payload_of(payload: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    """With the text of one variant; as it is where there are none."""
    other = payload.get("other")
    if other is None or variant == A:
        return payload
    return {**{name: value for name, value in payload.items() if name != "entities"}, **other}
