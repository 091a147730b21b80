"""The catalogues: which languages there are, and what each says for an English text.

A catalogue is a .po file. Ballast's are in ballast/texts/locale; an app may bring some, and the folder that
TEXTS_FOLDER names may have some, whose texts win. A language that only that folder has is a language all the same.

Ballast has three for a language: what the chat says, what else the operators' pages say (locale/page), and what else
the command line says (locale/cli). A text is looked for in this order, and a file is read when a text is first looked
for in it: a process that serves the chat never reads the other two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from gettext import c2py
from pathlib import Path
from typing import TypeAlias, cast

ENGLISH = "en"

LANGUAGES = ("en", "de", "es", "pt_BR", "ru", "uk", "ar", "fa")
"""Those that Ballast itself is translated into. English is what stands in the code."""

_OWN_FOLDER = Path(__file__).with_name("locale")

_CODE = re.compile(r"(?P<language>[A-Za-z]{2,3})(?:[-_][A-Za-z]{4})?(?:[-_](?P<region>[A-Za-z]{2}|\d{3}))?\b")

Key: TypeAlias = str | tuple[str, str]
"""A text, with its context before it if it has one."""


_ENGLISH_PLURAL: Callable[[int], int] = c2py("n != 1")


_COUNTS_TRIED = 200
"""Of larger numbers the last two digits say the form, in all languages that gettext knows."""


class CatalogueError(ValueError):
    """A .po file cannot be read. The message says which, and why."""


@dataclass(frozen=True)
class Catalogue:
    """One .po file, or nothing. What is not translated in it, or is marked fuzzy, it does not have."""

    texts: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    plural: Callable[[int], int] = _ENGLISH_PLURAL

    def find(self, key: Key, count: int | None = None) -> str | None:
        forms = self.texts.get(key)
        if forms is None:
            return None
        return forms[0] if count is None else forms[min(self.plural(count), len(forms) - 1)]


_NONE = Catalogue()


def lookup_key(text: str, context: str | None = None) -> Key:
    return (context, text) if context else text


def read(path: Path) -> Catalogue:
    """Raises CatalogueError."""
    from babel.messages.pofile import PoFileError, read_po  # imported by who speaks no English only

    try:
        with path.open("rb") as file:
            found = read_po(file, abort_invalid=True)
        plural = c2py(found.plural_expr)
        for count in range(_COUNTS_TRIED):
            plural(count)
    except (OSError, ValueError, LookupError, ArithmeticError, PoFileError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    texts: dict[Key, tuple[str, ...]] = {}
    for message in found:
        forms = cast("tuple[str, ...]", message.string if message.pluralizable else (message.string,))
        if message.id and not message.fuzzy and all(forms):
            text = message.id if isinstance(message.id, str) else message.id[0]
            texts[lookup_key(text, message.context)] = forms
    return Catalogue(texts, plural)


@dataclass(frozen=True)
class Source:
    """A folder of catalogues, one for each language: `de.po`, or `de/LC_MESSAGES/<any name>.po`."""

    folder: Path

    @property
    def languages(self) -> frozenset[str]:
        names = {path.stem for path in self.folder.glob("*.po")}
        return frozenset(names | {path.parts[-3] for path in self.folder.glob("*/LC_MESSAGES/*.po")})

    def catalogue(self, language: str) -> Catalogue:
        """An empty one if there is none. Raises CatalogueError."""
        return _catalogue_in(self.folder, language)


@cache
def _catalogue_in(folder: Path, language: str) -> Catalogue:
    path = folder / f"{language}.po"
    if not path.is_file():
        path = min((folder / language / "LC_MESSAGES").glob("*.po"), default=path)
    return read(path) if path.is_file() else _NONE


CHAT, PAGE, CLI = Source(_OWN_FOLDER), Source(_OWN_FOLDER / "page"), Source(_OWN_FOLDER / "cli")

OWN = (CHAT, PAGE, CLI)
"""Ballast's, the first first."""

OF_PAGES = (CHAT, PAGE)
"""Those of what the operators' pages say."""

_operators: list[Source] = []

_apps: list[Source] = []


def use_folder(folder: Path | None) -> None:
    """Have the operator's texts win over all others, in this process. Raises CatalogueError if one cannot be read."""
    source = None if folder is None else Source(folder)
    for language in source.languages if source is not None else ():
        source.catalogue(language)  # type: ignore[union-attr]
    _operators[:] = [] if source is None else [source]
    available.cache_clear()


def use_apps(folders: Iterable[Path]) -> None:
    """Know the catalogues of these apps, in this process."""
    _apps[:] = map(Source, folders)


def sources_of_apps() -> tuple[Source, ...]:
    """As `sources`, for a text of whichever app."""
    return (*_operators, *_apps)


def sources(own: tuple[Source, ...] = OWN) -> tuple[Source, ...]:
    """Where a text is looked for, the first first. own -- of whom it is: Ballast's, or an app's."""
    return (*_operators, *own)


@cache
def available() -> tuple[str, ...]:
    """The languages that there are, English first."""
    added = sorted({language for source in _operators for language in source.languages} - {*LANGUAGES})
    return (*LANGUAGES, *added)


def negotiated(code: str | None) -> str:
    """The language for what Telegram says of somebody's, such as `de-AT` or `pt`; English if there is none.

    Anybody may say anything, so nothing of it is kept.
    """
    found = _CODE.match(code or "")
    if found is None:
        return ENGLISH
    language, region = found["language"].lower(), (found["region"] or "").upper()
    by_region = f"{language}_{region}"
    if by_region in available():
        return by_region
    if language in available():
        return language
    return next((each for each in LANGUAGES if each.startswith(f"{language}_")), ENGLISH)


@cache
def own_name(language: str) -> str:
    """What its speakers call it, with a capital letter, if it has some: `Deutsch`."""
    from babel import Locale, UnknownLocaleError

    try:
        name = Locale.parse(language).get_display_name()
    except (UnknownLocaleError, ValueError):
        name = None
    return f"{name[:1].upper()}{name[1:]}" if name else language


def is_right_to_left(language: str) -> bool:
    return language.partition("_")[0] in {"ar", "fa", "he", "ur", "ckb", "ps", "sd", "ug", "yi"}
