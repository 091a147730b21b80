"""The language that is spoken, and texts in it.

Nothing but the standard library is imported at the top: `ballast --help` says texts, and answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from ballast.texts.catalogues import ENGLISH, OWN, Key, Source, is_right_to_left, sources, sources_of_apps

if TYPE_CHECKING:
    from dbcore.sentences import Explained, Sentence

_SPOKEN: ContextVar[str] = ContextVar("spoken", default=ENGLISH)
_ZONE: ContextVar[str | None] = ContextVar("zone", default=None)


def spoken() -> str:
    """The language of whoever reads what is said now."""
    return _SPOKEN.get()


def chosen_zone() -> str | None:
    """The time zone that whoever reads what is said now chose; None for that of TIMEZONE."""
    return _ZONE.get()


@contextmanager
def speaking(language: str | None, zone: str | None = None) -> Iterator[None]:
    """What is said inside is in this language, also by tasks and threads that are started there. None changes nothing:
    nobody knows another one.

    zone -- the time zone that they chose, of which ballast.texts.time_zones knows.
    """
    if language is None:
        yield
        return
    spoken_before, zone_before = _SPOKEN.set(language), _ZONE.set(zone)
    try:
        yield
    finally:
        _ZONE.reset(zone_before)
        _SPOKEN.reset(spoken_before)


def gettext_noop(text: str) -> str:
    """The text itself: it is for the catalogues, and said elsewhere."""
    return text


def gettext(text: str, /, **arguments: object) -> str:
    """`text` in the language that is spoken, with its arguments in their places."""
    return _said(OWN, text, text, None, arguments)


def pgettext(context: str, text: str, /, **arguments: object) -> str:
    """The same for a text that means something else elsewhere. context -- where it stands, for translators."""
    return _said(OWN, (context, text), text, None, arguments)


def ngettext(one: str, many: str, count: int, /, **arguments: object) -> str:
    """The form for `count`, which is also the argument `{count}`."""
    return _said(OWN, one, one if count == 1 else many, count, arguments)


def template(one: str, many: str | None = None, count: int | None = None, /) -> str:
    """A text as it is in the catalogues, or its form for `count`, for a library that fills its places in by itself. A
    translation with other places than the English text is passed over.
    """
    for each in sources(OWN):
        found = each.catalogue(_SPOKEN.get()).find(one, count)
        if found is not None and _has_places_of(one + (many or ""), found):
            return found
    return one if many is None or count == 1 else many


def _has_places_of(english: str, translated: str) -> bool:
    from string import Formatter

    places = {name for _, name, _, _ in Formatter().parse(english)}
    try:
        return {name for _, name, _, _ in Formatter().parse(translated)} <= {*places, None}
    except ValueError:  # a brace without its other
        return False


def said(sentences: Explained | Sentence | str) -> str:
    """What dbcore and others keep as English sentences."""
    from dbcore.sentences import Explained, Sentence

    if isinstance(sentences, str):
        return sentences
    if isinstance(sentences, Explained):
        return " ".join(said(each) for each in sentences.sentences)
    arguments = {
        name: said(value) if isinstance(value, Sentence) else value
        for name, value in sentences.arguments.items()
    }
    if sentences.many is not None:
        count = int(arguments.pop("count"))
        return ngettext(sentences.template, sentences.many, count, **arguments)
    return gettext(sentences.template, **arguments)


def of_any_app(text: str) -> str:
    """A text that an app registered, such as a command's line in the menu."""
    for source in sources_of_apps():
        if found := source.catalogue(_SPOKEN.get()).find(text):
            return found
    return text


def of_app(folder: Path | None, key: str, english: str, count: int | None, /, **arguments: object) -> str:
    """A text of an app's own catalogues. folder -- where they are; None if it has none. count -- of a plural."""
    return _said(() if folder is None else (Source(folder),), key, english, count, arguments)


def _said(
    own: tuple[Source, ...], key: Key, english: str, count: int | None, arguments: Mapping[str, object]
) -> str:
    language = _SPOKEN.get()
    if count is not None:
        from ballast.texts.formats import number

        arguments = {"count": number(count), **arguments}
    shown = {name: in_place(value) for name, value in arguments.items()}
    for each in sources(own):
        template = each.catalogue(language).find(key, count)
        if template is None:
            continue
        try:
            return template.format_map(shown) if shown else template
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            import structlog

            log = structlog.get_logger(__name__)
            log.warning("text_broken", language=language, text=english, error=repr(error))
    return english.format_map(shown) if shown else english


def in_place(value: object) -> str:
    """An argument as it may stand among right-to-left words, which must not turn its signs and digits around."""
    if isinstance(value, int) and not isinstance(value, bool):
        from ballast.texts.formats import number

        text = number(value)
    else:
        text = str(value)
    if not is_right_to_left(_SPOKEN.get()) or not text or "\n" in text:
        return text
    from dbcore.text import FIRST_STRONG_ISOLATE, POP_DIRECTIONAL_ISOLATE

    return f"{FIRST_STRONG_ISOLATE}{text}{POP_DIRECTIONAL_ISOLATE}"
