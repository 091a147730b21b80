"""The texts of the pages' HTML, and pages in somebody's language.

Each piece of text between two tags is a text, and so are the attributes `title`, `placeholder`, `aria-label` and `alt`;
what has no letters is none. The whole inside of an element with `data-text` is one text, in which tags stand without
their attributes: `Signed in as <b></b>`. `translate="no"` leaves an element as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape, unescape
from html.parser import HTMLParser

from ballast.texts import gettext, is_right_to_left, spoken

ATTRIBUTES = frozenset({"title", "placeholder", "aria-label", "alt"})

_ENGLISH = '<html lang="en">'

_VOID = frozenset({"meta", "link", "img", "input", "br", "hr", "use", "path", "circle", "col", "wbr"})
_CODE = frozenset({"script", "style"})

_ATTRIBUTE = re.compile(r'(?P<name>[\w-]+)="(?P<value>[^"]*)"')
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-z][a-z0-9]*)(?P<attributes>[^>]*)>")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class _Text:
    """before, after -- the white space around it. tags -- each with its attributes, of a text that is HTML; None of one
    that is not.
    """

    text: str
    before: str = ""
    after: str = ""
    tags: tuple[str, ...] | None = None

    def said(self, say: Callable[[str], str]) -> str:
        words = say(self.text)
        if self.tags is None:
            told = _escaped(words)
        else:
            told = self._with_attributes(words if _has_tags_of(self.text, words) else self.text)
        return f"{self.before}{told}{self.after}"

    def _with_attributes(self, words: str) -> str:
        """The first `<b>` of the text is the first that the page has, and so on."""
        left = list(self.tags or ())

        def whole(tag: re.Match[str]) -> str:
            if tag["end"]:
                return tag[0]
            found = next((each for each in left if _named(each) == tag["name"]), None)
            if found is None:
                return tag[0]
            left.remove(found)
            return found

        return _TAG.sub(whole, words)


def _has_tags_of(text: str, words: str) -> bool:
    """Whether `words` have the same tags, each ended where it may end: what a script writes into is not missing, and
    nothing else comes from a catalogue.
    """
    found = [(tag["end"], tag["name"]) for tag in _TAG.finditer(words)]
    expected = [(tag["end"], tag["name"]) for tag in _TAG.finditer(text)]
    is_open: list[str] = []
    for end, name in found:
        if not end and name not in _VOID:
            is_open.append(name)
        elif end and (not is_open or is_open.pop() != name):
            return False
    return sorted(found) == sorted(expected) and "<" not in _TAG.sub("", words)


def _named(tag: str) -> str:
    found = _TAG.fullmatch(tag)
    return "" if found is None else found["name"]


class PageTemplate:
    """A page as it is written, in English."""

    def __init__(self, html: str) -> None:
        reader = _Reader()
        reader.feed(html)
        reader.close()
        self._pieces = tuple(reader.pieces)
        self._translated: dict[str, str] = {}
        """By language."""

    def texts(self) -> Iterator[str]:
        """In the order of the page."""
        return (piece.text for piece in self._pieces if isinstance(piece, _Text))

    def said(self, say: Callable[[str], str]) -> str:
        """The page, each of its texts as `say` has it."""
        return "".join(piece if isinstance(piece, str) else piece.said(say) for piece in self._pieces)

    def translated(self) -> str:
        """In the language that is spoken, and so it says of itself."""
        language = spoken()
        if language not in self._translated:
            direction = "rtl" if is_right_to_left(language) else "ltr"
            head = f'<html lang="{language.replace("_", "-")}" dir="{direction}">'
            self._translated[language] = self.said(gettext).replace(_ENGLISH, head, 1)
        return self._translated[language]


class _Reader(HTMLParser):
    """Of HTML that ends each element that it begins, as ours does."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str | _Text] = []
        self._open: list[tuple[str, bool]] = []
        """The elements that are open, and whether each is left as it is."""
        self._inside: list[str] | None = None
        """What an element with data-text has so far."""
        self._inside_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        written = self.get_starttag_text() or ""
        given = dict(attrs)
        is_left = self._is_left or given.get("translate") == "no" or tag in _CODE
        if self._inside is not None:
            self._inside.append(written)
        else:
            self._write_tag(written, is_left=is_left)
            if "data-text" in given:
                self._inside, self._inside_depth = [], len(self._open)
        if tag not in _VOID and not written.endswith("/>"):
            self._open.append((tag, is_left))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        if self._inside is not None and len(self._open) == self._inside_depth:
            self._write_inside("".join(self._inside))
            self._inside = None
        self._write_as_it_is(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self._inside.append(escape(data, quote=False))
        elif self._open and self._open[-1][0] in _CODE:
            self.pieces.append(data)
        else:
            self._write_text(data)

    def handle_comment(self, data: str) -> None:
        self._write_as_it_is(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._write_as_it_is(f"<!{decl}>")

    @property
    def _is_left(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _write_as_it_is(self, html: str) -> None:
        if self._inside is None:
            self.pieces.append(html)
        else:
            self._inside.append(html)

    def _write_text(self, text: str) -> None:
        words = _SPACE.sub(" ", text.strip())
        if self._is_left or not _says_something(words):
            self.pieces.append(escape(text, quote=False))
            return
        begin = len(text) - len(text.lstrip())
        self.pieces.append(_Text(words, text[:begin], text[len(text.rstrip()) :]))

    def _write_inside(self, html: str) -> None:
        tags = tuple(tag[0] for tag in _TAG.finditer(html) if not tag["end"])
        words = _TAG.sub(lambda tag: f"<{tag['end']}{tag['name']}>", _SPACE.sub(" ", html.strip()))
        begin = len(html) - len(html.lstrip())
        self.pieces.append(_Text(words, html[:begin], html[len(html.rstrip()) :], tags))

    def _write_tag(self, written: str, *, is_left: bool) -> None:
        at = 0
        for attribute in () if is_left else _ATTRIBUTE.finditer(written):
            value = unescape(attribute["value"])
            if attribute["name"] in ATTRIBUTES and _says_something(value):
                self.pieces += [written[at : attribute.start("value")], _Text(value)]
                at = attribute.end("value")
        self.pieces.append(written[at:])


def _escaped(text: str) -> str:
    """As it may stand between tags, and in an attribute too."""
    return escape(text, quote=False).replace('"', "&quot;")


def _says_something(text: str) -> bool:
    return any(letter.isalpha() for letter in text)
