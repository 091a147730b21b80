"""What built-in commands are called, for texts that mention them: an app can rename them and switch them off."""

from __future__ import annotations

from ballast.apps.installed import INSTALLED
from ballast.texts import gettext


def called(word: str) -> str:
    """Such as `/send`, by the command's own name. One that is switched off has that one."""
    return f"/{INSTALLED.name_of(word) or word}"


def mention(word: str, text: str, /) -> str:
    """A text of the catalogues with `{command}` for the command's name; empty if the command is switched off."""
    return "" if INSTALLED.name_of(word) is None else gettext(text, command=called(word))


def joined(*sentences: str) -> str:
    """Those that are not empty."""
    return " ".join(filter(None, sentences))


def leave() -> str:
    """Ends each question, with the space before it."""
    text = mention("cancel", "Send {command} to stop.")
    return f" {text}" if text else ""


def not_your_history() -> str:
    return joined(
        gettext("These buttons belong to somebody else."),
        mention("history", "Send {command} to see your own."),
    )
