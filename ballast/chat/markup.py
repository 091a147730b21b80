"""Telegram's HTML, read as strictly as Telegram reads it: what people will see, or what is wrong and where.

Nothing is sent for it, so a bad tag is found before anybody gets it. Telegram has the last word all the same: a
broadcast that it refuses stops itself after the first few.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import NamedTuple

from dbcore.sentences import Sentence, sentence
from dbcore.text import one_line

TAGS = {
    *("a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "blockquote"),
    *("span", "tg-spoiler", "tg-emoji", "tg-time"),
}

SHOWN_LENGTH_MAX = 40
"""Of a tag in a sentence about it."""

_WORDS = re.compile(r"[^<&]+")
_NAME = re.compile(r"[^\s>]*")
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s=>/"']+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[A-Za-z0-9.-]+(?=[\s>])))?"""
)
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});?")
_HTML = re.compile(r"</?[A-Za-z][^<>]*>|&(?:lt|gt|amp|quot|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")


class HtmlError(ValueError):
    """Telegram would refuse the text. why -- what is wrong, and where."""

    def __init__(self, what: Sentence, source: str, at: int) -> None:
        line = source.count("\n", 0, at) + 1
        column = at - (source.rfind("\n", 0, at) + 1) + 1
        self.why = sentence(
            "{what} (line {line}, character {column})", what=what, line=str(line), column=str(column)
        )
        super().__init__(str(self.why))


def is_html(text: str) -> bool:
    """Whether a text has tags or character references at all. `1 < 2 & 3` has none."""
    return _HTML.search(text) is not None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, in characters, and the tag around it. url -- where a link leads."""

    begin: int
    end: int
    tag: str
    url: str | None = None


def plain_text(source: str) -> str:
    """What people see of it, with white space at both ends cut off, as Telegram does. Raises HtmlError."""
    return read(source)[0]


def read(source: str) -> tuple[str, list[Span]]:
    """What people see of it, as `plain_text`, and how it looks. Raises HtmlError."""
    plain: list[str] = []
    length = 0
    spans: list[Span] = []
    open_tags: list[_Opened] = []
    at = 0
    while at < len(source):
        if source[at] == "&":
            reference = _REFERENCE.match(source, at)
            token = "&" if reference is None else reference.group()
            plain.append(token if reference is None else unescape(token))
            length += len(plain[-1])
            at += len(token)
        elif source[at] != "<":
            words = _WORDS.match(source, at)
            assert words is not None  # noqa: S101  one character at least
            plain.append(words.group())
            length += len(plain[-1])
            at = words.end()
        elif source.startswith("</", at):
            at, tag = _close(source, at, open_tags)
            spans.append(Span(tag.begin, length, tag.name, tag.url))
        else:
            at = _open(source, at, open_tags, length)
    if open_tags:
        raise HtmlError(
            sentence("{tag} is never closed", tag=f"<{open_tags[-1].name}>"), source, open_tags[-1].at
        )
    text = "".join(plain)
    cut = len(text) - len(text.lstrip())
    text = text.strip()
    inside = [
        Span(max(0, span.begin - cut), min(len(text), span.end - cut), span.tag, span.url) for span in spans
    ]
    return text, [span for span in inside if span.begin < span.end]


class _Opened(NamedTuple):
    """A tag whose end is to come. at -- where it stands in the source; begin -- in the text."""

    name: str
    at: int
    begin: int
    url: str | None


def _open(source: str, start: int, open_tags: list[_Opened], length: int) -> int:
    """Read a start tag behind so much text; where it ends."""
    name, at = _name(source, start + 1, start)
    if name not in TAGS:
        known = ", ".join(sorted(TAGS))
        raise HtmlError(
            sentence(
                "{tag} is no tag that Telegram knows ({known}); a < in the text is written &lt;",
                tag=_shown(f"<{name[:30]}>"),
                known=known,
            )
            if name
            else sentence(
                "a < is no tag that Telegram knows ({known}); a < in the text is written &lt;", known=known
            ),
            source,
            start,
        )
    attributes: dict[str, str] = {}
    while True:
        while source[at : at + 1].isspace():
            at += 1
        if at >= len(source):
            raise HtmlError(_endless(f"<{name}"), source, start)
        if source[at] == ">":
            break
        attribute = _ATTRIBUTE.match(source, at)
        if attribute is None or source[attribute.end() : attribute.end() + 1] == "=":
            raise HtmlError(
                sentence("the tag {tag} has an attribute that cannot be read", tag=_shown(f"<{name}")),
                source,
                at,
            )
        attributes[attribute["name"].lower()] = unescape((attribute["value"] or "").strip("\"'"))
        at = attribute.end()
    if name == "span" and attributes.get("class") != "tg-spoiler":
        raise HtmlError(
            sentence("{tag} needs {attribute}", tag="<span>", attribute='class="tg-spoiler"'), source, start
        )
    if name == "tg-emoji" and not attributes.get("emoji-id", "").isdecimal():
        raise HtmlError(
            sentence("{tag} needs {attribute} with a number", tag="<tg-emoji>", attribute='emoji-id="…"'),
            source,
            start,
        )
    open_tags.append(_Opened(name, start, length, attributes.get("href")))
    return at + 1


def _close(source: str, start: int, open_tags: list[_Opened]) -> tuple[int, _Opened]:
    """Read an end tag; where it ends, and what it closes."""
    name, at = _name(source, start + 2, start)
    while source[at : at + 1].isspace():
        at += 1
    if source[at : at + 1] != ">":
        raise HtmlError(_endless(f"</{name}"), source, start)
    if not open_tags:
        raise HtmlError(sentence("{tag} closes nothing", tag=_shown(f"</{name}>")), source, start)
    opened = open_tags.pop()
    if name not in ("", opened.name):
        raise HtmlError(
            sentence(
                "{tag} stands where {expected} was expected",
                tag=_shown(f"</{name}>"),
                expected=f"</{opened.name}>",
            ),
            source,
            start,
        )
    return at + 1, opened


def _name(source: str, at: int, start: int) -> tuple[str, int]:
    found = _NAME.match(source, at)
    assert found is not None  # noqa: S101  it may be empty
    if found.end() >= len(source):
        raise HtmlError(_endless(repr(source[start : start + 20])), source, start)
    return found.group().lower(), found.end()


def _endless(tag: str) -> Sentence:
    return sentence("the tag {tag} has no > at its end", tag=_shown(tag))


def _shown(tag: str) -> str:
    """As it may stand in a sentence of ours."""
    return one_line(tag, SHOWN_LENGTH_MAX)
