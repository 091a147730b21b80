"""Values as people paste them: with a newline at the end, in quotes, or as the command they were shown in."""

from __future__ import annotations

import re

from dbcore.sentences import Refusal, sentence

_PLACEHOLDER = re.compile(r"\[(?:YOUR[-_])?PASSWORD\]|<(?:your[-_])?password>|\$\{[A-Z_]+\}", re.IGNORECASE)
"""What consoles show in place of a password, and variables that nobody put in."""

_QUOTES = "\"'`"


def address_in(text: str, *commands: str) -> str:
    """The address without what is around it: white space, quotes, `export NAME=`, and `psql` or another of `commands`.

    Raises ValueError, which shows nothing of the text, where an address is left with what none has.
    """
    text = _unquoted(text)
    text = _unquoted(re.sub(r"^(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*", "", text))
    for command in commands:
        text = _unquoted(re.sub(rf"^{command}\s+", "", text))
    if found := _PLACEHOLDER.search(text):
        raise Refusal(sentence("{placeholder} stands where the password belongs", placeholder=found[0]))
    if "://" in text and re.search(r"[\x00-\x20\x7f]", text):
        raise Refusal(
            sentence(
                "an address has no white space or control characters in it; in a password, a space is %20"
            )
        )
    return text


def _unquoted(text: str) -> str:
    text = text.strip().removesuffix(";").rstrip()
    while len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
        text = text[1:-1].strip()
    return text
