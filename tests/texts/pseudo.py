"""The pseudo-language `en_XA`: every text of the catalogues in letters that no code has, and a third longer. What is
said in it and stays plain was never in a catalogue.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog

from devstack import texts
from tests.texts.extraction import extracted

LANGUAGE = "en_XA"

_ACCENTED = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "áƀçđéƒǧħíĵķľɱñóƥɋŕšťúṽŵẋýžÁƁÇĐÉƑǦĦÍĴĶĽṀÑÓƤɊŔŠŤÚṼŴẊÝŽ",
)
_KEPT = re.compile(r"\{\w+(?:!\w)?\}|<[^>]*>|&\w+;|@\w+|/\{name\}|`[^`]*`|^[^A-Za-z]*$")


def accented(text: str) -> str:
    """In brackets, which show that nothing is cut off, and a third longer, in words that a line may end between."""
    letters, at = [], 0
    for kept in _KEPT.finditer(text):
        letters += [text[at : kept.start()].translate(_ACCENTED), kept[0]]
        at = kept.end()
    letters.append(text[at:].translate(_ACCENTED))
    more = re.sub("~{6}(?=~)", "~~~~~~ ", "~" * (len(text) // 3))
    return f"⟦{''.join(letters)}{more}⟧"


def plain_words(said: str) -> list[str]:
    """Words of what the bot said that came from no catalogue."""
    return re.findall(r"[A-Za-z]{3,}", said)


def write(folder: Path) -> None:
    """The catalogue, into a folder for TEXTS_FOLDER."""
    (folder / f"{LANGUAGE}.po").write_text(_catalogue())


@cache
def _catalogue() -> str:
    catalog = Catalog()
    for message in (each for found in extracted().values() for each in found):
        if not message.id:
            continue
        ids = (message.id,) if isinstance(message.id, str) else message.id
        strings = tuple(accented(each) for each in ids)
        catalog.add(message.id, strings if len(strings) > 1 else strings[0], context=message.context)
    return texts.written(catalog, LANGUAGE)
