"""Sentences as values: English by themselves, and in anybody's language where they are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballast.texts import said, speaking
from ballast.texts.catalogues import use_folder
from dbcore.sentences import Refusal, nsentence, sentence

CATALOGUE = """msgid ""
msgstr ""
"Language: ru\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n<5 ? 1 : 2);\\n"

msgid "{count} byte of {what}"
msgid_plural "{count} bytes of {what}"
msgstr[0] "{what}: {count} байт"
msgstr[1] "{what}: {count} байта"
msgstr[2] "{what}: {count} байтов"

msgid "a text"
msgstr "текст"
"""


@pytest.mark.parametrize(
    ("count", "english", "russian"),
    [
        (1, "1 byte of a text", "текст: 1 байт"),
        (2, "2 bytes of a text", "текст: 2 байта"),
        (4096, "4,096 bytes of a text", "текст: 4\u00a0096 байтов"),
    ],
)
def test_a_sentence_that_counts_has_the_form_of_its_count(
    tmp_path: Path, count: int, english: str, russian: str
) -> None:
    (tmp_path / "ru.po").write_text(CATALOGUE)
    use_folder(tmp_path)
    try:
        counted = nsentence(
            "{count} byte of {what}", "{count} bytes of {what}", count, what=sentence("a text")
        )
        assert str(counted) == str(Refusal(counted)) == english
        with speaking("ru"):
            assert said(counted) == said(Refusal(counted)) == russian
            assert str(counted) == english, "what is kept is English, whoever asked for it"
    finally:
        use_folder(None)


def test_a_sentence_of_a_table_gets_its_arguments_later() -> None:
    known = sentence("It was approved by {name} already.")
    assert str(known.having(name="Olga")) == "It was approved by Olga already."
    assert str(known.having(name="Igor")) == "It was approved by Igor already."
