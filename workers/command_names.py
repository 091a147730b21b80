"""What built-in commands are called, for texts that mention them: an app can rename them and switch them off."""

from __future__ import annotations

from workers.jobs import INSTALLED


def called(word: str) -> str:
    """Such as `/send`, by the command's own name. One that is switched off has that one."""
    return f"/{INSTALLED.name_of(word) or word}"


def mention(word: str, sentence: str) -> str:
    """A sentence with `{}` for the command's name; empty if the command is switched off."""
    return "" if INSTALLED.name_of(word) is None else sentence.format(called(word))


LEAVE = mention("cancel", " Send {} to stop.")
"""Ends each question."""
