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
_BLANK = "\u115f\u1160\u2800\u3164\uffa0\ufffc\U00013441\U00013442\U0001d159"
_UNSEEN = "\u034f\u17b4\u17b5\u180b-\u180f\u2065\ufe00-\ufe0e\ufff0-\ufff8\U00016fe4\U000e0080-\U000e0fff"
_BLANKS = re.compile(f"[{_BLANK}]")
_UNSEENS = re.compile(f"[{_UNSEEN}]")

_PILED_MAX = 3
"""Marks on one letter. What any script needs; more would paint over the lines around it."""

_PICTURE = (
    "\u2194\u2195\u231a-\u23ff\u2600-\u27bf\u2b00-\u2bff"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
)
_SKIN = "\U0001f3fb-\U0001f3ff"
# What makes one emoji of several, such as a family: a zero-width joiner, and the letters behind the flags of England,
# Scotland and Wales. Everywhere else these are unseen.
_EMOJI_GLUE = re.compile(
    f"(?:(?<=[{_PICTURE}])|(?<=[{_PICTURE}][\ufe0f{_SKIN}]))\u200d(?=[{_PICTURE}])"
    "|(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_JOINER = "\u200d"
# Besides marks: skin tones, what joins, the letters of such a flag, and Korean vowels and finals.
_GOES_ON = re.compile(f"[{_SKIN}{_JOINER}\U000e0020-\U000e007f\u1160-\u11ff]")
_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FLAG_LETTERS_AT_END = re.compile(f"{_FLAG_LETTERS.pattern}\\Z")
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
    invisible characters are dropped, except inside an emoji; marks are piled three high at most. Applied again it
    changes nothing.

    length_max -- a longer one is cut to at most so many characters, the last of which is then `…`. What people see as
    one character is not cut in two.
    """
    seen = _UNSEENS.sub("", _BLANKS.sub(" ", storable(text)))
    glue = {at for found in _EMOJI_GLUE.finditer(seen) for at in range(*found.span())}
    letters = []
    piled = 0
    for at, letter in enumerate(seen):
        category = unicodedata.category(letter)
        if category == "Cc":
            letters.append(" ")
        elif category != "Cf" or at in glue:
            piled = piled + 1 if category in {"Mn", "Me"} else 0
            if piled <= _PILED_MAX:
                letters.append(letter)
    line = " ".join("".join(letters).split())
    if length_max is None or len(line) <= length_max:
        return line
    end = length_max - 1
    while end > 0 and not _may_end_at(line, end):
        end -= 1
    return line[:end].rstrip() + "…"


def _may_end_at(line: str, end: int) -> bool:
    """Whether a character that people see ends there: neither its marks follow, nor the rest of an emoji or a flag."""
    following = line[end]
    if line[end - 1] == _JOINER or _GOES_ON.match(following) or unicodedata.category(following)[0] == "M":
        return False
    # Two of these letters are one flag.
    before = _FLAG_LETTERS_AT_END.search(line, 0, end)
    splits_a_flag = before is not None and len(before[0]) % 2 == 1 and _FLAG_LETTERS.match(following)
    return not splits_a_flag


def shows_something(line: str) -> bool:
    """Whether anything of it is seen: a letter, a number, a sign or a symbol."""
    return any(unicodedata.category(letter)[0] in "LNPS" for letter in line)


def is_blank(text: str) -> bool:
    """Whether people see nothing of it: white space, invisible characters, or nothing at all."""
    return not shows_something(one_line(text))


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
