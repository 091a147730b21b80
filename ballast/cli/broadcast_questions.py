"""What `ballast broadcast start` asks at a terminal: the same as the page, one thing after the other."""

from __future__ import annotations

from typing import Any

import click

from ballast.texts import gettext


def asked() -> dict[str, Any]:
    """The options of `start`, by their names."""
    text = click.prompt(gettext("Text, in Telegram's HTML"))
    other = _maybe(gettext("Another text for every second person"))
    buttons = []
    while button := _maybe(gettext("A button, such as: Read more | https://example.org")):
        buttons.append(button)
    click.echo(gettext("Who gets it: all that you answer must hold. Nothing answered is everybody."))
    options: dict[str, Any] = {
        "text": text,
        "other": other,
        "button": buttons,
        "active_days": _number(gettext("Seen within how many days")),
        "seen_until": _maybe(gettext("Not seen since, such as 2026-12-01T18:00:00+01:00")),
        "joined_since": _maybe(gettext("Joined since")),
        "balance_min": _number(gettext("Balance from, in minor units")),
        "balance_max": _number(gettext("Balance to, in minor units")),
        "language": _maybe(gettext("Language, such as de")),
        "app": _maybe(gettext("Segment of an app")),
        "sql": _maybe(gettext("A query for Telegram IDs")),
        "at": _maybe(gettext("Start at; nothing is now")),
        "quiet": _maybe(gettext("Quiet hours, such as 22:00-08:00")),
        "canary": click.prompt(gettext("How many get it first"), default=20, type=int),
        "canary_then": click.prompt(
            gettext("Then"), default="go", type=click.Choice(["go", "few", "wait"]), show_choices=True
        ),
        "try_on": _number(gettext("Test on which admin first")),
    }
    if options["quiet"] is not None:
        options["zone"] = click.prompt(gettext("In which time zone"), default="UTC")
    return options


def _maybe(question: str) -> str | None:
    return click.prompt(question, default="", show_default=False).strip() or None


def _number(question: str) -> int | None:
    while (answer := _maybe(question)) is not None:
        if answer.isdecimal():
            return int(answer)
        click.echo(gettext("Expected a whole number, or nothing."))
    return None
