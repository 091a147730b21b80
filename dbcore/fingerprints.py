"""What a request asks for, in a few bytes: the same key with another fingerprint is a mistake, not a replay."""

from __future__ import annotations

import hashlib
import json

_encode = json.JSONEncoder(separators=(",", ":")).encode


def fingerprint(*parts: str | int | None) -> str:
    """Equal for equal parts in the same order, and only for these."""
    return hashlib.blake2b(_encode(parts).encode(), digest_size=16).hexdigest()
