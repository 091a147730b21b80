"""Text from outside: made storable, and made safe to stand in a line of ours.

PostgreSQL keeps neither NUL nor half of a surrogate pair. And whoever reads a line of ours must see where somebody
else's words begin and end: a name with a line break, a direction mark or an escape sequence could write its own lines.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

FIRST_STRONG_ISOLATE, POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"

# Letters, marks and symbols by their category, and blank or nothing on every screen.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_UNSEEN = "\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0e\U000e0100-\U000e01ef"
_BLANKS = re.compile(f"[{_BLANK}]")
_UNSEENS = re.compile(f"[{_UNSEEN}]")
_PILE = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{3})[\u0300-\u036f\u0483-\u0489"
    r"\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_FORMULA = frozenset("=+-@＝＋－＠")


def storable(text: str) -> str:
    """The text with NUL removed and lone surrogates replaced by `?`; nothing else is touched.

    Both raise inside psycopg2, so one person with a hostile name would otherwise be an error on every retry.
    """
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def storable_json(value: Any) -> Any:
    """A JSON value with every text in it storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(name)): storable_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item) for item in value]
    return value


def one_line(text: str, length_max: int | None = None) -> str:
    """The text as it may stand in a line of ours: what people see of it, and nothing that moves what is around it.

    White space and control characters, line breaks among them, become one space; direction marks, zero-width and other
    invisible characters are dropped; accents are piled three high at most. Applied again it changes nothing.

    length_max -- a longer one is cut to so many characters, the last of which is then `…`.
    """
    letters = []
    for letter in _UNSEENS.sub("", _BLANKS.sub(" ", storable(text))):
        category = unicodedata.category(letter)
        if category == "Cc":
            letters.append(" ")
        elif category != "Cf":
            letters.append(letter)
    line = _PILE.sub(r"\1", " ".join("".join(letters).split()))
    if length_max is None or len(line) <= length_max:
        return line
    return line[: length_max - 1].rstrip() + "…"


def shows_something(line: str) -> bool:
    """Whether anything of it is seen: a letter, a number, a sign or a symbol."""
    return any(unicodedata.category(letter)[0] in "LNPS" for letter in line)


def isolated(line: str) -> str:
    """The line as it may stand in a sentence: of right-to-left letters in it only it is turned, not what is around it.

    Text without them turns nothing, and is left as it is, so that it can be searched for and copied.
    """
    if any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in line):
        return f"{FIRST_STRONG_ISOLATE}{line}{POP_DIRECTIONAL_ISOLATE}"
    return line


def visible_json(document: str) -> str:
    """A JSON text with what a terminal would obey or hide written as escapes; other letters are left readable."""
    return "".join(
        json.dumps(letter)[1:-1]
        if letter != "\n" and unicodedata.category(letter) in {"Cc", "Cf", "Zl", "Zp"}
        else letter
        for letter in document
    )


def csv_cell(text: str) -> str:
    """The text as one cell of a CSV: on one line, and no formula to a spreadsheet."""
    line = one_line(text)
    return f"'{line}" if line[:1] in _FORMULA else line
