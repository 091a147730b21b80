"""What operators are told of roles, and of their sign-in to the page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ballast.texts import gettext
from ballast.texts.formats import duration
from ballast.texts.phrases import quoted
from dbcore.roles import Role


def code(made: str, seconds: int) -> str:
    return gettext(
        "Your code for the operators' page is {code}. It works once, within {duration}. Do not pass it on.",
        code=f"<code>{escape(made)}</code>",
        duration=duration(seconds),
    )


def roles(of_people: Iterable[tuple[str, Role]]) -> str:
    """of_people -- names, as HTML, with what they are."""
    return "\n".join(f"{name} – {role.value}" for name, role in of_people)


def nobody(named: str) -> str:
    return gettext("I found nobody by {text}.", text=quoted(named, 60))


def granted(name: str, role: Role | None) -> str:
    """name -- as HTML."""
    if role is None:
        return gettext("{name} has no role any more.", name=name)
    return gettext("{name} now has the role {role}.", name=name, role=role.value)


def is_in_settings(name: str) -> str:
    return gettext("The role of {name} is in the settings. It can only be changed there.", name=name)
