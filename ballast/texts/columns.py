"""Columns of plain text, by what a terminal shows of it: a letter of Chinese is two columns wide, an accent none."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from ballast.texts.speech import in_place


def width(text: str) -> int:
    """Of one line, in columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def left(text: str, columns: int) -> str:
    """Filled up to so many columns; a wider one stays as it is."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """The same with the text at the right end."""
    return " " * (columns - width(text)) + text


def labelled(rows: Iterable[tuple[str, str]], *, least: int = 0, gap: int = 2) -> list[str]:
    """A line for each row: its label, and what it says, below each other. Behind a right-to-left label an amount stays
    as it is written.

    least -- columns of the labels, with the space behind them, unless one of them needs more. gap -- columns of that
    space at least.
    """
    found: Sequence[tuple[str, str]] = [*rows]
    columns = max([least, *(width(label) + gap for label, _ in found)])
    return [f"{left(label, columns)}{in_place(said)}" for label, said in found]
