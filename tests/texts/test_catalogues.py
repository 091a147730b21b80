"""Every language has every text, and each can stand where the English one stands."""

from __future__ import annotations

import ast
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from ballast.chat.markup import plain_text
from ballast.messages import Button
from ballast.texts import LANGUAGES, available, gettext, negotiated, ngettext, own_name, said, speaking
from ballast.texts.catalogues import CatalogueError, Source, is_right_to_left, lookup_key, use_folder
from bot_frontend import texts as frontend_texts
from dbcore.roles import Role
from dbcore.sentences import Sentence, sentence
from dbcore.text import FIRST_STRONG_ISOLATE, POP_DIRECTIONAL_ISOLATE
from devstack import texts
from tests.texts.extraction import extracted

TRANSLATED = [language for language in LANGUAGES if language != "en"]

COMMAND_LINE_MAX = 256
TOAST_MAX = 200


@pytest.fixture(autouse=True)
def _no_folder_afterwards() -> Iterator[None]:
    yield
    use_folder(None)


def messages(language: str, *domains: texts.Domain) -> list[Message]:
    """Of all domains where none is given. What is not translated test_each_language_has_every_text... says."""
    found: list[Message] = []
    for domain in domains or texts.DOMAINS:
        with domain.path(language).open("rb") as file:
            found += [message for message in read_po(file) if message.id and texts.is_translated(message)]
    return found


def ids(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def forms(message: Message) -> list[tuple[str, str]]:
    """Each translation beside the English that it stands for."""
    if isinstance(message.id, str):
        return [(message.id, str(message.string))]
    return [(message.id[-1], str(each)) for each in message.string or ()]


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w*)(?:!\w)?\}", text))


each_domain = pytest.mark.parametrize("domain", texts.DOMAINS, ids=["chat", "page", "cli"])


@each_domain
def test_the_list_of_texts_is_that_of_the_code(domain: texts.Domain) -> None:
    assert texts.written(extracted()[domain]) == domain.template.read_text(), "run `make texts`"


def test_no_text_is_in_two_catalogues() -> None:
    keys = [
        texts.text_id(message) for domain in texts.DOMAINS for message in extracted()[domain] if message.id
    ]
    assert len(keys) == len({*keys})


_ENGLISH_ONLY = re.compile(r"/web/|__main__")
"""The description of the API and of the metrics, and logs. What the pages show is looked at in a browser."""
_SENTENCE = re.compile(r"[A-Z][a-z]*( \S+){2,}[.?!]\s*")


@pytest.mark.parametrize("package", ["ballast", "bot_frontend", "workers"])
def test_each_sentence_in_code_that_speaks_to_people_is_in_the_catalogues(package: str) -> None:
    known = {each for catalog in extracted().values() for message in catalog for each in ids(message)}
    for path in sorted((texts.ROOT / package).rglob("*.py")):
        if _ENGLISH_ONLY.search(str(path)):
            continue
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found = {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        }
        assert {text for text in found if _SENTENCE.fullmatch(text)} <= known, path


@each_domain
@pytest.mark.parametrize("language", TRANSLATED)
def test_each_catalogue_is_as_make_texts_writes_it(domain: texts.Domain, language: str) -> None:
    catalog = texts.updated(domain, language, extracted()[domain], texts.translations(language))
    assert texts.written(catalog, language) == domain.path(language).read_text()


@each_domain
@pytest.mark.parametrize("language", TRANSLATED)
def test_each_language_has_every_text_with_all_its_plural_forms(domain: texts.Domain, language: str) -> None:
    catalogue = Source(domain.folder).catalogue(language)
    everything = {
        lookup_key(text, context)
        for context, text in (texts.text_id(message) for message in extracted()[domain] if message.id)
    }
    assert everything - catalogue.texts.keys() == set()
    numbers = {catalogue.plural(count) for count in range(1_001)}
    for message in messages(language, domain):
        assert not message.fuzzy, message.id
        if not isinstance(message.id, str):
            assert {*range(len(forms(message)))} == numbers, message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_each_translation_has_the_places_of_the_english_text(language: str) -> None:
    for message in messages(language):
        # One and two may be words of their own, 'شخصان', and what the singular does not name need not be named.
        may_lack = (
            set()
            if isinstance(message.id, str)
            else {"count"} | places(message.id[1]) - places(message.id[0])
        )
        known = set().union(*(places(english) for english in ids(message)))
        for english, translated in forms(message):
            assert places(english) - places(translated) <= may_lack, translated
            assert places(translated) <= known, translated


@pytest.mark.parametrize("language", TRANSLATED)
def test_each_translation_is_the_html_of_the_english_text_and_ends_like_it(language: str) -> None:
    for message in messages(language):
        for english, translated in forms(message):
            tags = re.findall(r"</?\w+>", english)
            assert re.findall(r"</?\w+>", translated) == tags, translated
            assert translated == translated.strip(), translated
            ends = {each.endswith((".", "!", "?")) for each in ids(message)}
            assert translated.endswith((".", "!", "?", "؟")) in ends, translated
            assert english.endswith(":") == translated.endswith(":"), translated
            opened, closed = translated.count(FIRST_STRONG_ISOLATE), translated.count(POP_DIRECTIONAL_ISOLATE)
            assert opened == closed, translated


_ASIDE = re.compile(r"\{\w+\}|<[^>]*>|\u2068[^\u2069]*\u2069|\b[A-Z]\w*|@\w+|--[\w-]+|[a-z]+_\w+|`[^`]*`")
"""Places, tags, what is isolated, and names, which are written alike in each language."""
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = {"ru": "[а-яё]", "uk": "[а-яіїєґ]", "ar": "[ء-ي]", "fa": "[ء-یپچژگ]"}


def test_each_translation_is_in_its_language() -> None:
    """As far as its letters tell; and no two languages say the same in a sentence. A word that is the same in each
    language is a code.
    """
    words_of = {
        language: {
            texts.text_id(message): [words(each) for _, each in forms(message)]
            for message in messages(language)
        }
        for language in TRANSLATED
    }
    written = {
        language: {
            texts.text_id(message): {*_WORD.findall(" ".join(each for _, each in forms(message)))}
            for message in messages(language)
        }
        for language in TRANSLATED
    }
    said_in: dict[tuple[str, ...], str] = {}
    for language, found in words_of.items():
        letters = re.compile(_SCRIPTS.get(language, "[a-zß-ÿ]"), re.IGNORECASE)
        for text_id, translations in found.items():
            codes = set.intersection(*(written[each].get(text_id, set()) for each in TRANSLATED))
            for translated in translations:
                own = [word for word in translated if word not in codes]
                strange = [word for word in own if len(word) > 3 and not letters.match(word)]
                assert len(strange) <= max(1, len(own) // 2), (language, translated)
                if len(own) > 4:
                    assert said_in.setdefault(tuple(own), language) == language, translated


def words(text: str) -> list[str]:
    return _WORD.findall(_ASIDE.sub("", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_line_of_the_menu_and_each_button_fits(language: str) -> None:
    with speaking(language):
        menu = frontend_texts.menu(Role.OWNER)
        assert all(0 < len(line) <= COMMAND_LINE_MAX for _, line in menu)
        assert all("{" not in line for _, line in menu)
        assert len(plain_text(frontend_texts.help_text(Role.OWNER))) < 4096
        rows = frontend_texts.language_buttons(2**52)
        assert all(isinstance(button, Button) for row in rows for button in row)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_shown_over_a_button_is_short_enough_for_it(language: str) -> None:
    with speaking(language):
        toasts = [
            frontend_texts.admins_only(),
            frontend_texts.not_your_transfer(),
            frontend_texts.not_your_adjustment(),
            frontend_texts.not_your_buttons(),
            gettext("This transfer was already confirmed. It was made once and will not be made again."),
        ]
    assert all(len(toast) <= TOAST_MAX for toast in toasts)


def test_the_languages_are_called_by_their_own_names() -> None:
    assert [own_name(language) for language in LANGUAGES] == [
        "English",
        "Deutsch",
        "Español",
        "Português (Brasil)",
        "Русский",
        "Українська",
        "العربية",
        "فارسی",
    ]


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE_at", "de"),
        ("pt", "pt_BR"),
        ("pt-br", "pt_BR"),
        ("pt-PT", "pt_BR"),
        ("es-419", "es"),
        ("uk", "uk"),
        ("fa-IR", "fa"),
        ("zh-hans", "en"),
        ("zh", "en"),
        ("en-GB", "en"),
        ("", "en"),
        (None, "en"),
        ("../../etc/passwd", "en"),
        ("d", "en"),
    ],
)
def test_the_language_is_the_nearest_that_there_is(code: str | None, language: str) -> None:
    assert negotiated(code) == language


def test_codes_that_strangers_make_up_are_not_kept() -> None:
    tracemalloc.start()
    try:
        for number in range(300):
            assert negotiated(f"zz-{number}-{'x' * 5_000}") == "en"
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 300_000


@pytest.mark.parametrize(
    ("count", "said_of_it"),
    [(1, "1 задание"), (2, "2 задания"), (5, "5 заданий"), (21, "21 задание"), (1_112, "1\u00a0112 заданий")],
)
def test_a_number_has_the_form_that_its_language_has_for_it(count: int, said_of_it: str) -> None:
    with speaking("ru"):
        assert ngettext("{count} job", "{count} jobs", count) == said_of_it


def test_one_is_singular_and_all_else_is_not_in_english() -> None:
    said_of_them = [ngettext("{count} job", "{count} jobs", count) for count in (0, 1, 2, 1_001)]
    assert said_of_them == ["0 jobs", "1 job", "2 jobs", "1,001 jobs"]


def test_what_is_said_inside_is_in_its_language_and_what_follows_in_the_one_before() -> None:
    with speaking("de"):
        assert gettext("Cancelled.") == "Abgebrochen."
        with speaking("es"):
            assert gettext("Cancelled.") == "Cancelado."
        with speaking(None):
            assert gettext("Cancelled.") == "Abgebrochen."
    assert gettext("Cancelled.") == "Cancelled."


@pytest.mark.parametrize("language", ["ar", "fa"])
def test_what_is_put_into_a_right_to_left_text_turns_nothing_around_it(language: str) -> None:
    assert is_right_to_left(language)
    with speaking(language):
        told = gettext("Sent {amount} to {name}.", amount="<b>5.50 CREDIT</b>", name="“Bob” (@bob)")
    assert f"{FIRST_STRONG_ISOLATE}<b>5.50 CREDIT</b>{POP_DIRECTIONAL_ISOLATE}" in told
    assert f"{FIRST_STRONG_ISOLATE}“Bob” (@bob){POP_DIRECTIONAL_ISOLATE}" in told
    with speaking("de"):
        told = gettext("Sent {amount} to {name}.", amount="5.50 CREDIT", name="“Bob” (@bob)")
    assert FIRST_STRONG_ISOLATE not in told


def test_sentences_are_english_by_themselves_and_anything_where_they_are_said() -> None:
    refused = sentence(
        "broadcast {id} is {status}: it cannot be changed any more", id="7", status=Sentence("paused")
    )
    assert str(refused) == "broadcast 7 is paused: it cannot be changed any more"
    with speaking("de"):
        assert said(refused) == "Rundnachricht 7 ist im Zustand „pausiert“ und lässt sich nicht mehr ändern"


def catalogue(folder: Path, language: str, texts_of_it: dict[str, str]) -> None:
    lines = ['msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n']
    lines += [f'msgid "{text}"\nmsgstr "{translated}"\n' for text, translated in texts_of_it.items()]
    (folder / f"{language}.po").write_text("\n".join(lines))


def test_an_operators_texts_win_in_each_language_and_the_others_stay(tmp_path: Path) -> None:
    catalogue(tmp_path, "de", {"Cancelled.": "Ist weg."})
    catalogue(tmp_path, "en", {"Cancelled.": "Gone."})
    catalogue(tmp_path, "fr", {"Cancelled.": "Annulé."})
    use_folder(tmp_path)
    with speaking("de"):
        assert gettext("Cancelled.") == "Ist weg."
        assert gettext("No money was sent.") == "Es wurde kein Geld gesendet."
    assert gettext("Cancelled.") == "Gone."
    assert "fr" in available()
    assert negotiated("fr-CA") == "fr"
    with speaking("fr"):
        assert gettext("Cancelled.") == "Annulé."
        assert gettext("No money was sent.") == "No money was sent."


@pytest.mark.parametrize("broken", ["{name.first}", "{name[first]}", "{name:d}", "{name!q}", "{nobody}", "{"])
def test_a_translation_whose_places_cannot_be_filled_costs_no_answer(tmp_path: Path, broken: str) -> None:
    catalogue(tmp_path, "de", {"Sent {amount} to {name}.": broken})
    use_folder(tmp_path)
    with speaking("de"):
        assert gettext("Sent {amount} to {name}.", amount="5", name="Ada") == "5 wurden an Ada gesendet."


@pytest.mark.parametrize(
    "header",
    [
        "Plural-Forms: nplurals=2; plural=n%0;",
        "Plural-Forms: nplurals=2; plural=n>1 && n/(n-7);",
        "Content-Type: text/plain; charset=klingon",
    ],
)
def test_a_catalogue_whose_head_is_nonsense_is_refused_when_it_is_read(tmp_path: Path, header: str) -> None:
    (tmp_path / "de.po").write_text(f'msgid ""\nmsgstr ""\n"{header}\\n"\n\nmsgid "Gone."\nmsgstr "Weg."\n')
    with pytest.raises(CatalogueError, match=r"de\.po"):
        use_folder(tmp_path)


def test_a_translation_with_a_wrong_place_costs_its_language_and_not_the_answer(tmp_path: Path) -> None:
    catalogue(tmp_path, "de", {"Sent {amount} to {name}.": "{amonut} an {name} gesendet."})
    use_folder(tmp_path)
    with speaking("de"):
        assert gettext("Sent {amount} to {name}.", amount="5", name="Bob") == "5 wurden an Bob gesendet."


@pytest.mark.parametrize(
    "content",
    [
        b'msgid "Cancelled."\nmsgstr "\xff\xfe"\n',
        b'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=(n @ 1);\\n"\n',
        b'msgid "Cancelled."\nmsgid_plural\nfoo\n',
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "de.po").write_bytes(content)
    with pytest.raises(CatalogueError, match=r"de\.po"):
        use_folder(tmp_path)


_WRITTEN_OUT = re.compile(r"/\{|@\w|\} [\d@]")
"""Of an example of a command: its slash, a name, an amount behind a command."""


def test_an_example_of_a_command_is_isolated_where_one_reads_from_the_right() -> None:
    for language in filter(is_right_to_left, TRANSLATED):
        for message in messages(language):
            for _, text in forms(message):
                outside = re.sub(r"<[^>]*>|\u2068[^\u2069]*\u2069", "", text)
                # What begins with a command is an example itself, and isolated where it is put into a text.
                assert outside.startswith("{command}") or not _WRITTEN_OUT.search(outside), (language, text)
