"""What `ballast broadcast start` asks at a terminal: the same as the page, one thing after the other."""

from __future__ import annotations

from typing import Any

import click


def asked() -> dict[str, Any]:
    """The options of `start`, by their names."""
    text = click.prompt("Text, in Telegram's HTML")
    other = _maybe("Another text for every second person")
    buttons = []
    while button := _maybe("A button, such as: Read more | https://example.org"):
        buttons.append(button)
    click.echo("Who gets it: all that you answer must hold. Nothing answered is everybody.")
    options: dict[str, Any] = {
        "text": text,
        "other": other,
        "button": buttons,
        "active_days": _number("Seen within how many days"),
        "seen_until": _maybe("Not seen since, such as 2026-12-01T18:00:00+01:00"),
        "joined_since": _maybe("Joined since"),
        "balance_min": _number("Balance from, in minor units"),
        "balance_max": _number("Balance to, in minor units"),
        "language": _maybe("Language, such as de"),
        "app": _maybe("Segment of an app"),
        "sql": _maybe("A query for Telegram IDs"),
        "at": _maybe("Start at; nothing is now"),
        "quiet": _maybe("Quiet hours, such as 22:00-08:00"),
        "canary": click.prompt("How many get it first", default=20, type=int),
        "canary_then": click.prompt(
            "Then", default="go", type=click.Choice(["go", "few", "wait"]), show_choices=True
        ),
        "try_on": _number("Test on which admin first"),
    }
    if options["quiet"] is not None:
        options["zone"] = click.prompt("In which time zone", default="UTC")
    return options


def _maybe(question: str) -> str | None:
    return click.prompt(question, default="", show_default=False).strip() or None


def _number(question: str) -> int | None:
    while (answer := _maybe(question)) is not None:
        if answer.isdecimal():
            return int(answer)
        click.echo("Expected a whole number, or nothing.")
    return None
