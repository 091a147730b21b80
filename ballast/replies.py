"""What a handler answers with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from ballast.jobs import Job

if TYPE_CHECKING:
    from dbcore.outcomes import Outcome

REPLY_LENGTH_MAX = 4096
BUTTONS_MAX = 100


def require_button_text(text: str) -> None:
    """Raises ValueError for what is too long for a button, or nothing."""
    if not 1 <= len(text) <= 64:
        raise ValueError(f"a Button's text has 1 to 64 characters, got {len(text)}")


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a reply. A press has `job` done, once: a Job of which an app has a handler.

    text -- what it says, 1 to 64 characters.
    """

    text: str
    job: Job

    def __post_init__(self) -> None:
        require_button_text(self.text)


@dataclass(frozen=True, slots=True)
class Reply:
    """One message.

    text -- what the person reads, up to 4,096 characters; nothing in it is markup.
    html -- `text` is Telegram's HTML. Names and texts of people must be escaped in it, by `html.escape`.
    public -- if the command came from a group, answer there, for all to read. Otherwise a group's command is answered
        in the private chat.
    buttons -- rows of them. Only the person whom the reply is for can press them.
    edit -- if a pressed button is answered, take the place of the message that it was under.
    to -- a Telegram id: write to this user's private chat instead of whoever asked. They must have started the bot.
    """

    text: str
    html: bool = False
    public: bool = False
    buttons: Sequence[Sequence[Button]] = ()
    edit: bool = False
    to: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"a Reply's text is a str, got {type(self.text).__name__}")
        if not 1 <= len(self.markup.strip()) <= REPLY_LENGTH_MAX:
            raise ValueError(
                f"a Reply has 1 to {REPLY_LENGTH_MAX:,} characters as HTML, got {len(self.markup):,}"
            )
        if sum(len(row) for row in self.buttons) > BUTTONS_MAX:
            raise ValueError(f"a Reply has at most {BUTTONS_MAX} buttons")
        if self.public and self.to is not None:
            raise ValueError("a Reply is public or has a recipient of its own, not both")

    @property
    def markup(self) -> str:
        """As Telegram's HTML."""
        return self.text if self.html else escape(self.text, quote=False)


@dataclass(frozen=True, slots=True)
class BuiltInAnswer:
    """What Ballast itself answers to a job that an app's function replaces: what `ctx.built_in()` returns. Return it,
    alone or in a list with other answers.

    outcome -- what became of the money, as dbcore.outcomes has it: `outcome.reason` is why it was refused, None if it
        was not. None of jobs that are not about money.
    said -- as the workers have it.
    """

    outcome: Outcome | None
    said: Any = field(repr=False)
