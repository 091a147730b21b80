"""A broadcast's text as Telegram shows it: pieces of plain words, each with how it looks, or its beginning. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ballast.builtin.composition import Formatting
from ballast.chat.markup import HtmlError, Span, plain_text, read
from dbcore.text import one_line

BEGINNING_LENGTH_MAX = 100

_LOOKS = {
    **dict.fromkeys(("b", "strong", "bold"), "bold"),
    **dict.fromkeys(("i", "em", "italic"), "italic"),
    **dict.fromkeys(("u", "ins", "underline"), "underline"),
    **dict.fromkeys(("s", "strike", "del", "strikethrough"), "strikethrough"),
    **dict.fromkeys(("span", "tg-spoiler", "spoiler"), "spoiler"),
    **dict.fromkeys(("blockquote", "expandable_blockquote"), "quote"),
    **dict.fromkeys(
        ("a", "text_link", "url", "mention", "text_mention", "hashtag", "bot_command", "email"), "link"
    ),
    "code": "code",
    "pre": "pre",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """looks -- of bold, italic, underline, strikethrough, spoiler, quote, link, code and pre. url -- of a link."""

    text: str
    looks: tuple[str, ...] = ()
    url: str | None = None


def pieces(text: str, entities: Sequence[Formatting] | None) -> list[Piece]:
    """entities -- of a plain text; None where it is Telegram's HTML. Raises HtmlError."""
    if entities is None:
        plain, spans = read(text)
    else:
        plain, spans = text, [_span(text, entity) for entity in entities]
    known = [span for span in spans if span.tag in _LOOKS and span.begin < span.end]
    cuts = sorted({0, len(plain), *(span.begin for span in known), *(span.end for span in known)})
    return [_piece(plain, begin, end, known) for begin, end in pairwise(cuts) if end <= len(plain)]


def beginning(payload: Mapping[str, Any]) -> str | None:
    """Of a broadcast's text, on one line without markup; None of a copied message."""
    text = payload.get("text")
    if text is None:
        return None
    if "entities" not in payload:
        with suppress(HtmlError):  # of a program's own, which sends what it likes
            text = plain_text(text)
    return one_line(text, BEGINNING_LENGTH_MAX)


def _piece(text: str, begin: int, end: int, spans: Sequence[Span]) -> Piece:
    around = [span for span in spans if span.begin <= begin and end <= span.end]
    looks = tuple(sorted({_LOOKS[span.tag] for span in around}))
    return Piece(text[begin:end], looks, next((span.url for span in around if span.url), None))


def _span(text: str, entity: Formatting) -> Span:
    """Telegram counts UTF-16 code units, Python characters."""
    units = text.encode("utf-16-le", errors="surrogatepass")
    begin = len(units[: 2 * entity.offset].decode("utf-16-le", errors="replace"))
    end = len(units[: 2 * (entity.offset + entity.length)].decode("utf-16-le", errors="replace"))
    return Span(begin, min(end, len(text)), entity.type, entity.url)
