"""`make texts`: lists what Ballast says in .pot files, and brings the catalogues up to date with them.

There are three catalogues for each language: of the chat, of the operators' pages and of the command line. A text is in
the first of them that says it. The files are the same however often this is run: they have neither dates nor lines of
the code in them.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from bot_frontend.web.page_html import PageTemplate
from bot_frontend.web.page_scripts import STATIC, script_texts
from devstack.command_texts import command_texts

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "ballast/texts/locale"


@dataclass(frozen=True)
class Domain:
    """Catalogues that belong together. code -- whose texts they have: a package or a folder of one."""

    folder: Path
    template: Path
    code: str = ""

    def path(self, language: str) -> Path:
        return self.folder / f"{language}.po"


CHAT = Domain(LOCALE, LOCALE / "ballast.pot")
PAGE = Domain(LOCALE / "page", LOCALE / "page/page.pot", "bot_frontend/web")
CLI = Domain(LOCALE / "cli", LOCALE / "cli/cli.pot", "ballast/cli")

DOMAINS = (CHAT, PAGE, CLI)
"""In the order in which a text is looked for (ballast/texts/catalogues.py)."""

TextId: TypeAlias = tuple[str | None, str]
"""A text's context, and the text; of one with plural forms the singular."""

_SPEAKING = ("ballast", "bot_frontend", "dbcore", "workers")
"""Packages that say something to people."""

_KEYWORDS: dict[str, Any] = {
    **DEFAULT_KEYWORDS,
    "gettext_noop": None,
    "mention": (2,),
    "sentence": None,
    "nsentence": (1, 2),
    "shaped": (2,),
}

_PLURAL_FORMS = {
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
    "pt_BR": "nplurals=2; plural=(n > 1);",
    "es": "nplurals=2; plural=(n != 1);",
    "fa": "nplurals=2; plural=(n > 1);",
}
"""Where a language's forms in gettext catalogues are not those of Babel."""


def languages() -> list[str]:
    """All that there are catalogues of."""
    return sorted(path.stem for path in LOCALE.glob("*.po"))


def extracted() -> dict[Domain, Catalog]:
    """All texts of the code, in its order."""
    catalogs = {domain: Catalog() for domain in DOMAINS}
    found = [*_texts_of_python(), *((PAGE, *each) for each in _texts_of_pages())]
    found += [(CLI, each, None) for each in command_texts()]
    for domain in DOMAINS:
        for speaks, text, context in found:
            if speaks is domain:
                key = text if isinstance(text, str) else text[0]
                has_it = (catalogs[each] for each in DOMAINS if catalogs[each].get(key, context) is not None)
                next(has_it, catalogs[domain]).add(text, context=context)
    return catalogs


_Found: TypeAlias = tuple[str | tuple[str, ...], str | None]
"""A text or its forms, and its context."""


def _texts_of_python() -> Iterator[tuple[Domain, *_Found]]:
    with redirect_stderr(io.StringIO()):  # it warns of arguments that are f-strings, which are no texts
        for package in _SPEAKING:
            for file, _, text, _, context in extract_from_dir(ROOT / package, keywords=_KEYWORDS):
                path = f"{package}/{file}"
                domain = next((each for each in (PAGE, CLI) if path.startswith(f"{each.code}/")), CHAT)
                yield domain, text, context


def _texts_of_pages() -> Iterator[_Found]:
    for path in sorted(STATIC.glob("*.html")):
        for text in PageTemplate(path.read_text(encoding="utf-8")).texts():
            yield text, None
    for path in sorted(STATIC.glob("*.js")):
        for each in script_texts(path.read_text(encoding="utf-8")):
            yield (each.text if each.many is None else (each.text, each.many)), each.context


def text_id(message: Message) -> TextId:
    return message.context or None, message.id if isinstance(message.id, str) else message.id[0]


def is_translated(message: Message) -> bool:
    return bool(message.string) if isinstance(message.id, str) else any(message.string or ())


def translations(language: str) -> dict[TextId, Message]:
    """What all catalogues of a language have."""
    found = {}
    for domain in reversed(DOMAINS):
        if domain.path(language).is_file():
            messages = _catalog(domain, language)
            found.update({text_id(each): each for each in messages if each.id and is_translated(each)})
    return found


def _catalog(domain: Domain, language: str) -> Catalog:
    path = domain.path(language)
    written_so_far = path.read_bytes() if path.is_file() else _head(language).encode()
    return read_po(io.BytesIO(written_so_far), locale=language)


def updated(domain: Domain, language: str, template: Catalog, known: Mapping[TextId, Message]) -> Catalog:
    """A catalogue with all texts that there are and no others. What is new in it is not translated, unless another
    catalogue had it.

    known -- what all catalogues of the language have.
    """
    catalog = _catalog(domain, language)
    # A copy: what is new in the catalogue is the template's own message, and would be translated in all at once.
    catalog.update(deepcopy(template), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    for message in catalog:
        moved = known.get(text_id(message)) if message.id and not is_translated(message) else None
        if moved is not None and isinstance(moved.string, str) == isinstance(message.id, str):
            message.string = moved.string
    return catalog


def written(catalog: Catalog, language: str | None = None) -> str:
    """As it stands in its file."""
    out = io.BytesIO()
    write_po(out, catalog, width=0, no_location=True, omit_header=True, ignore_obsolete=True)
    body = out.getvalue().decode()
    if language is None:
        return body
    return f"{_head(language)}\n{body}"


def _head(language: str) -> str:
    plural = _PLURAL_FORMS.get(language) or f"{Catalog(locale=language).plural_forms};"
    header = (
        f"Language: {language}\\n",
        "Content-Type: text/plain; charset=utf-8\\n",
        f"Plural-Forms: {re.sub(';+$', ';', plural)}\\n",
    )
    lines = "".join(f'"{line}"\n' for line in header)
    return f'msgid ""\nmsgstr ""\n{lines}'


def main() -> int:
    templates = extracted()
    for language in languages():
        known = translations(language)
        for domain, template in templates.items():
            domain.folder.mkdir(exist_ok=True)
            catalog = updated(domain, language, template, known)
            domain.path(language).write_text(written(catalog, language))
    for domain, template in templates.items():
        domain.template.write_text(written(template))
    return 0


if __name__ == "__main__":
    sys.exit(main())
