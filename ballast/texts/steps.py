"""What is said of a move, a backup or an export, a line for each step: which it is, and what came of it."""

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
        "checked": pgettext("step", "checked"),
        "method": pgettext("step", "method"),
        "plan": pgettext("step", "plan"),
        "silent": pgettext("step", "silent"),
        "copying": pgettext("step", "copying"),
        "copied": pgettext("step", "copied"),
        "held": pgettext("step", "held"),
        "dumped": pgettext("step", "dumped"),
        "compared": pgettext("step", "compared"),
        "switched": pgettext("step", "switched"),
        "closed": pgettext("step", "closed"),
        "audited": pgettext("step", "audited"),
        "aborted": pgettext("step", "aborted"),
        "away": pgettext("step", "away"),
        "opened": pgettext("step", "opened"),
        "inbox": pgettext("step", "inbox"),
        "stored": pgettext("step", "stored"),
        "proven": pgettext("step", "proven"),
        "removed": pgettext("step", "removed"),
        "restored": pgettext("step", "restored"),
        "paused": pgettext("step", "paused"),
        "verified": pgettext("step", "verified"),
        "manifest": pgettext("step", "manifest"),
        "written": pgettext("step", "written"),
        "gap": pgettext("step", "gap"),
    }
