"""How long something took or will take, as people say it."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Rounded as people say it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
