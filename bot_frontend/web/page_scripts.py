"""The texts of the page's scripts, and the catalogue that they are said by: for each language one script, which the
browser keeps until it changes.

A script says `gettext("…", { … })`, `ngettext("one", "many", count)`, `pgettext("context", "…")`, or `noop("…")` for
what it says later (static/texts.js). Only plain literals in double quotes are read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ballast.texts.catalogues import OF_PAGES, lookup_key, sources

STATIC = Path(__file__).with_name("static")

CALL = re.compile(r"(?<![\w.$])(?P<function>n?gettext|pgettext|noop)\(\s*")
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"')

CONTEXT_END = "\x04"
"""Between a context and its text, as compiled catalogues have it."""

PLURALS_UP_TO = 200
"""Of larger numbers the last two digits say the form, in all languages that gettext knows."""


@dataclass(frozen=True)
class ScriptText:
    """many -- the plural form, of a text that has one."""

    text: str
    many: str | None = None
    context: str | None = None


def script_texts(script: str) -> Iterator[ScriptText]:
    """In the order of the script."""
    for call in CALL.finditer(script):
        literals = _literals(script, call.end(), 1 if call["function"] in {"gettext", "noop"} else 2)
        match call["function"], literals:
            case "ngettext", [one, many]:
                yield ScriptText(one, many)
            case "pgettext", [context, text]:
                yield ScriptText(text, context=context)
            case "gettext" | "noop", [text]:
                yield ScriptText(text)


def _literals(script: str, at: int, number: int) -> list[str]:
    """So many, with commas between them; fewer where something else stands."""
    found: list[str] = []
    while len(found) < number and (literal := LITERAL.match(script, at)):
        found.append(json.loads(literal[0]))
        comma = re.compile(r"\s*,\s*").match(script, literal.end())
        if comma is None:
            break
        at = comma.end()
    return found


@cache
def texts_of_all_scripts() -> tuple[ScriptText, ...]:
    """Each once."""
    scripts = (path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js")))
    return tuple(dict.fromkeys(text for script in scripts for text in script_texts(script)))


@dataclass(frozen=True)
class CatalogueScript:
    """What the browser loads before the page's own scripts. tag -- changes with it."""

    body: bytes
    tag: str


def catalogue_script(language: str, said: Iterable[ScriptText]) -> CatalogueScript:
    """`globalThis.pageTexts = {texts, plurals}`. A text with plural forms is [which of `plurals`, each form]; of those
    each has the form for each number. Of texts that are not translated there are none.

    said -- by the page's scripts.
    """
    texts: dict[str, str | list[int | str]] = {}
    plurals: list[str] = []
    for each in said:
        for source in sources(OF_PAGES):
            catalogue = source.catalogue(language)
            forms = catalogue.texts.get(lookup_key(each.text, each.context))
            if forms is None:
                continue
            key = f"{each.context}{CONTEXT_END}{each.text}" if each.context else each.text
            if each.many is None or len(forms) == 1:
                texts[key] = forms[0]
                break
            table = _table(catalogue.plural)
            if table not in plurals:
                plurals.append(table)
            texts[key] = [plurals.index(table), *forms]
            break
    catalogue_json = json.dumps(
        {"texts": texts, "plurals": plurals}, ensure_ascii=False, separators=(",", ":")
    )
    body = f"globalThis.pageTexts = {catalogue_json};\n".encode()
    return CatalogueScript(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _table(plural: Callable[[int], int]) -> str:
    return "".join(str(plural(number)) for number in range(PLURALS_UP_TO))
