"""Sentences for people as values: English, with named places for arguments, so that who shows one can translate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sentence:
    """`template` is English and its key in the catalogues; `{name}` in it is a place for an argument.

    An argument may be a Sentence itself. An int is a number, and no name of something: its digits stand in groups.
    """

    template: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = {
            name: f"{each:,}" if isinstance(each, int) else each for name, each in self.arguments.items()
        }
        return self.template.format_map(shown)


def sentence(template: str, /, **arguments: object) -> Sentence:
    """A Sentence. The catalogues have each text that is the first argument of such a call."""
    return Sentence(template, arguments)


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
