"""What is said of a move, a line for each step: which it is, and what came of it, below each other."""

from __future__ import annotations

from ballast.texts import pgettext
from ballast.texts.columns import left, width

_COLUMNS_MIN = 10


def step(name: str, words: str) -> str:
    """name -- of the step, in English; empty for what belongs to the line before."""
    labels = _labels()
    columns = max(_COLUMNS_MIN, *(width(label) + 2 for label in labels.values()))
    return f"{left(labels[name], columns)}{words}"


def _labels() -> dict[str, str]:
    return {
        "": "",
        "checked": pgettext("step of a move", "checked"),
        "method": pgettext("step of a move", "method"),
        "plan": pgettext("step of a move", "plan"),
        "silent": pgettext("step of a move", "silent"),
        "copying": pgettext("step of a move", "copying"),
        "copied": pgettext("step of a move", "copied"),
        "held": pgettext("step of a move", "held"),
        "dumped": pgettext("step of a move", "dumped"),
        "compared": pgettext("step of a move", "compared"),
        "switched": pgettext("step of a move", "switched"),
        "closed": pgettext("step of a move", "closed"),
        "audited": pgettext("step of a move", "audited"),
        "aborted": pgettext("step of a move", "aborted"),
        "away": pgettext("step of a move", "away"),
        "gap": pgettext("step of a move", "gap"),
    }
