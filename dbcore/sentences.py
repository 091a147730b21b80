"""Sentences for people as values: English, with named places for arguments, so that who shows one can translate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Sentence:
    """`template` is English and its key in the catalogues; `{name}` in it is a place for an argument.

    An argument may be a Sentence itself. An int is a number, and no name of something: its digits stand in groups.

    many -- what `template` is for any count but one, which is the argument `{count}`; None if it counts nothing.
    """

    template: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    many: str | None = None

    def __str__(self) -> str:
        shown = {
            name: f"{each:,}" if isinstance(each, int) else each for name, each in self.arguments.items()
        }
        template = self.template if self.many is None or self.arguments["count"] == 1 else self.many
        return template.format_map(shown)

    def having(self, **arguments: object) -> Sentence:
        """The same with these arguments."""
        return replace(self, arguments={**self.arguments, **arguments})


def sentence(template: str, /, **arguments: object) -> Sentence:
    """A Sentence. The catalogues have each text that is the first argument of such a call."""
    return Sentence(template, arguments)


def nsentence(one: str, many: str, count: int, /, **arguments: object) -> Sentence:
    """The same, in the form for `count`, which is also the argument `{count}`."""
    return Sentence(one, {"count": count, **arguments}, many)


def several(parts: Iterable[Sentence | str], between: str = " ") -> Sentence:
    """All of them, one behind the other."""
    named = {f"part{number}": part for number, part in enumerate(parts)}
    return Sentence(between.join(f"{{{name}}}" for name in named), named)


class Explained(Exception):
    """What went wrong is said in sentences that can be shown to people. In English as `str`."""

    def __init__(self, *sentences: Sentence | str) -> None:
        """sentences -- a str is one that needs no translation, or has it."""
        self.sentences = sentences
        super().__init__(" ".join(map(str, self.sentences)))

    @property
    def whole(self) -> Sentence | str:
        """As one, which can stand in another."""
        return self.sentences[0] if len(self.sentences) == 1 else several(self.sentences)


class Refusal(Explained, ValueError):
    """What somebody wants is refused, and why is said in sentences that can be shown to them."""


def sentence_of(error: BaseException) -> Sentence | str:
    """What an error says, which may stand in a sentence."""
    return error.whole if isinstance(error, Explained) else str(error)
