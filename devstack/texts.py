"""`make texts`: lists what the bot says in ballast.pot, and brings the catalogues up to date with it.

The files are the same however often it is run: they have neither dates nor lines of the code in them.
"""

from __future__ import annotations

import io
import re
import sys
from contextlib import redirect_stderr
from copy import deepcopy
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "ballast/texts/locale"
TEMPLATE = LOCALE / "ballast.pot"

_SPEAKING = ("ballast", "bot_frontend", "dbcore", "workers")
"""Packages that say something to people."""

_KEYWORDS: dict[str, Any] = {**DEFAULT_KEYWORDS, "gettext_noop": None, "mention": (2,), "sentence": None}

_PLURAL_FORMS = {
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
    "pt_BR": "nplurals=2; plural=(n > 1);",
    "es": "nplurals=2; plural=(n != 1);",
    "fa": "nplurals=2; plural=(n > 1);",
}
"""Where a language's forms in gettext catalogues are not those of Babel."""


def extracted() -> Catalog:
    """All texts of the code, in its order."""
    catalog = Catalog()
    with redirect_stderr(io.StringIO()):  # it warns of arguments that are f-strings, which are no texts
        for package in _SPEAKING:
            for _, _, text, _, context in extract_from_dir(ROOT / package, keywords=_KEYWORDS):
                catalog.add(text, context=context)
    return catalog


def updated(path: Path, template: Catalog) -> Catalog:
    """A catalogue with all texts that there are and no others. What is new in it is not translated."""
    with path.open("rb") as file:
        catalog = read_po(file, locale=path.stem)
    # A copy: what is new in the catalogue is the template's own message, and would be translated in all at once.
    catalog.update(deepcopy(template), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def written(catalog: Catalog, language: str | None = None) -> str:
    """As it stands in its file."""
    out = io.BytesIO()
    write_po(out, catalog, width=0, no_location=True, omit_header=True, ignore_obsolete=True)
    body = out.getvalue().decode()
    if language is None:
        return body
    plural = _PLURAL_FORMS.get(language) or f"{catalog.plural_forms};"
    header = (
        f"Language: {language}\\n",
        "Content-Type: text/plain; charset=utf-8\\n",
        f"Plural-Forms: {re.sub(';+$', ';', plural)}\\n",
    )
    lines = "".join(f'"{line}"\n' for line in header)
    return f'msgid ""\nmsgstr ""\n{lines}\n{body}'


def main() -> int:
    template = extracted()
    TEMPLATE.write_text(written(template))
    for path in sorted(LOCALE.glob("*.po")):
        path.write_text(written(updated(path, template), path.stem))
    return 0


if __name__ == "__main__":
    sys.exit(main())
