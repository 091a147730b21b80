"""Telegram's HTML, read as strictly as Telegram reads it: what people will see, or what is wrong and where.

Nothing is sent for it, so a bad tag is found before anybody gets it. Telegram has the last word all the same: a
broadcast that it refuses stops itself after the first few.
"""

from __future__ import annotations

import re
from html import unescape

TAGS = {
    *("a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "blockquote"),
    *("span", "tg-spoiler", "tg-emoji", "tg-time"),
}

_WORDS = re.compile(r"[^<&]+")
_NAME = re.compile(r"[^\s>]*")
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s=>/"']+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[A-Za-z0-9.-]+(?=[\s>])))?"""
)
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});?")
_HTML = re.compile(r"</?[A-Za-z][^<>]*>|&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")


class HtmlError(ValueError):
    """Telegram would refuse the text. The message says what is wrong, and where."""

    def __init__(self, what: str, source: str, at: int) -> None:
        line = source.count("\n", 0, at) + 1
        column = at - (source.rfind("\n", 0, at) + 1) + 1
        super().__init__(f"{what} (line {line}, character {column})")


def is_html(text: str) -> bool:
    """Whether a text has tags or character references at all. `1 < 2 & 3` has none."""
    return _HTML.search(text) is not None


def plain_text(source: str) -> str:
    """What people see of it, with white space at both ends cut off, as Telegram does. Raises HtmlError."""
    plain: list[str] = []
    open_tags: list[tuple[str, int]] = []
    at = 0
    while at < len(source):
        if source[at] == "&":
            reference = _REFERENCE.match(source, at)
            token = "&" if reference is None else reference.group()
            plain.append(token if reference is None else unescape(token))
            at += len(token)
        elif source[at] != "<":
            words = _WORDS.match(source, at)
            assert words is not None  # noqa: S101  one character at least
            plain.append(words.group())
            at = words.end()
        elif source.startswith("</", at):
            at = _close(source, at, open_tags)
        else:
            at = _open(source, at, open_tags)
    if open_tags:
        name, opened_at = open_tags[-1]
        raise HtmlError(f"<{name}> is never closed", source, opened_at)
    return "".join(plain).strip()


def _open(source: str, start: int, open_tags: list[tuple[str, int]]) -> int:
    """Read a start tag; where it ends."""
    name, at = _name(source, start + 1, start)
    if name not in TAGS:
        shown = f"<{name[:30]}>" if name else "a <"
        known = ", ".join(sorted(TAGS))
        raise HtmlError(
            f"{shown} is no tag that Telegram knows ({known}); a < in the text is written &lt;", source, start
        )
    attributes: dict[str, str] = {}
    while True:
        while source[at : at + 1].isspace():
            at += 1
        if at >= len(source):
            raise HtmlError(f"the tag <{name} has no > at its end", source, start)
        if source[at] == ">":
            break
        attribute = _ATTRIBUTE.match(source, at)
        if attribute is None or source[attribute.end() : attribute.end() + 1] == "=":
            raise HtmlError(f"the tag <{name} has an attribute that cannot be read", source, at)
        attributes[attribute["name"].lower()] = unescape((attribute["value"] or "").strip("\"'"))
        at = attribute.end()
    if name == "span" and attributes.get("class") != "tg-spoiler":
        raise HtmlError('<span> needs class="tg-spoiler"', source, start)
    if name == "tg-emoji" and not attributes.get("emoji-id", "").isdecimal():
        raise HtmlError('<tg-emoji> needs emoji-id="…" with a number', source, start)
    open_tags.append((name, start))
    return at + 1


def _close(source: str, start: int, open_tags: list[tuple[str, int]]) -> int:
    """Read an end tag; where it ends."""
    name, at = _name(source, start + 2, start)
    while source[at : at + 1].isspace():
        at += 1
    if source[at : at + 1] != ">":
        raise HtmlError(f"the tag </{name} has no > at its end", source, start)
    if not open_tags:
        raise HtmlError(f"</{name}> closes nothing", source, start)
    opened, _ = open_tags.pop()
    if name not in ("", opened):
        raise HtmlError(f"</{name}> stands where </{opened}> was expected", source, start)
    return at + 1


def _name(source: str, at: int, start: int) -> tuple[str, int]:
    found = _NAME.match(source, at)
    assert found is not None  # noqa: S101  it may be empty
    if found.end() >= len(source):
        raise HtmlError(f"{source[start : start + 20]!r} has no > at its end", source, start)
    return found.group().lower(), found.end()
