"""What the operators' pages say is found in their HTML and their scripts, and said in another language."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ballast.texts import gettext, ngettext, speaking
from ballast.texts.catalogues import use_folder
from bot_frontend.web.page_html import PageTemplate
from bot_frontend.web.page_scripts import (
    CALL,
    LITERAL,
    STATIC,
    ScriptText,
    catalogue_script,
    script_texts,
    texts_of_all_scripts,
)
from tests.texts import pseudo

PAGE = """<!doctype html>
<html lang="en">
<head><title>Jobs · Ballast</title><style>li { color: red }</style></head>
<body>
  <p id="one" title="Waiting &amp; running">Jobs that
    wait <b>now</b>, <i>12</i></p>
  <p data-text>Signed in as <b id="who" class="name"></b> since <i>Monday &lt;3</i>.</p>
  <p translate="no">Ballast <b>PostgreSQL</b></p>
  <input placeholder="Name"><img alt="" src="a.svg"><svg><use href="#icon"/></svg>
  <!-- error -->
</body>
</html>
"""


def test_each_piece_of_a_page_is_a_text_and_what_has_no_letters_is_none() -> None:
    assert [*PageTemplate(PAGE).texts()] == [
        "Jobs · Ballast",
        "Waiting & running",
        "Jobs that wait",
        "now",
        "Signed in as <b></b> since <i>Monday &lt;3</i>.",
        "Name",
    ]


def test_a_page_in_english_is_what_was_written() -> None:
    said = PageTemplate(PAGE).said(lambda text: text)
    assert said == PAGE.replace("Jobs that\n    wait", "Jobs that wait")


def test_tags_of_a_sentence_keep_their_attributes_wherever_its_translation_puts_them() -> None:
    said = PageTemplate(PAGE).said(
        lambda text: "<i>Lundi</i>, <b></b> est là." if "<b>" in text else "A & <B>"
    )
    assert '<p data-text><i>Lundi</i>, <b id="who" class="name"></b> est là.</p>' in said
    assert "<title>A &amp; &lt;B&gt;</title>" in said
    assert 'title="A &amp; &lt;B&gt;"' in said
    assert '<p translate="no">Ballast <b>PostgreSQL</b></p>' in said


@pytest.mark.parametrize(
    "broken",
    [
        "Niemand",
        "<i>Lundi</i>",
        "<b></b> <i>Lundi</i> <script>alert(1)</script>",
        "<b></b> <i>Lundi</i> <IMG SRC=x>",
        "<b></b> <i>Lundi <i></i>",
        "</b><b> <i>Lundi</i>",
        "<b><i></b></i>",
    ],
)
def test_a_translation_with_other_tags_than_the_sentence_is_passed_over(broken: str) -> None:
    said = PageTemplate(PAGE).said(lambda text: broken if "<b>" in text else text)
    assert said == PageTemplate(PAGE).said(lambda text: text)


@pytest.mark.parametrize("page", sorted(STATIC.glob("*.html")), ids=lambda path: path.name)
def test_each_page_is_itself_in_english(page: Path) -> None:
    html = page.read_text()
    assert "".join(PageTemplate(html).said(lambda text: text).split()) == "".join(html.split())


SCRIPT = r"""
gettext("Paused by {operator}", { operator });
const words = `${gettext("since {time}", { time })}, ${ngettext("{count} \"job\"", "{count} jobs", count)}`;
pgettext("breaker", "closed"); noop("Retry");
gettext(
  "Paused by {operator}", { operator: gettext("somebody") });
gettext(words); gettext(`no ${text}`); textContent.replace(/"/g, "x"); forgettext("no");
"""


def test_the_texts_of_a_script_are_its_literals() -> None:
    assert [*script_texts(SCRIPT)] == [
        ScriptText("Paused by {operator}"),
        ScriptText("since {time}"),
        ScriptText('{count} "job"', "{count} jobs"),
        ScriptText("closed", context="breaker"),
        ScriptText("Retry"),
        ScriptText("Paused by {operator}"),
        ScriptText("somebody"),
    ]


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_a_script_says_literals_or_what_noop_marks(path: Path) -> None:
    """A text that is glued together or chosen inside of the call would be in no catalogue."""
    script = path.read_text()
    calls = [call for call in CALL.finditer(script) if not script[: call.start()].endswith("function ")]
    literal = [call for call in calls if script[call.end()] == '"']
    assert len([*script_texts(script)]) == len(literal), (
        "expected plain literals, as many as the function takes"
    )
    for call in calls:
        first = _first_argument(script[call.end() :])
        if call in literal:
            assert json.loads(first), first
        else:
            assert call["function"] == "gettext", script[call.start() :][:80]
            assert not {*first} & {*"\"'`+?"}, f"expected a literal, or a text that noop marks: {first}"


def _first_argument(rest: str) -> str:
    """As far as its end is seen without knowing the language."""
    if rest.startswith('"'):
        found = LITERAL.match(rest)
        assert found is not None
        assert rest[found.end() :].lstrip()[:1] in {",", ")"}, rest[:80]
        return found[0]
    depth = 0
    for at, letter in enumerate(rest):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or (depth == 0 and letter == ","):
            return rest[:at]
    return rest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    use_folder(None)


def told(language: str, texts: Iterable[ScriptText]) -> dict[str, Any]:
    body = catalogue_script(language, texts).body.decode()
    assert body.startswith("globalThis.pageTexts = ")
    found: dict[str, Any] = json.loads(body.removeprefix("globalThis.pageTexts = ").rstrip(";\n"))
    return found


def test_the_catalogue_of_the_scripts_has_each_text_and_a_form_for_each_number(folder: Path) -> None:
    pseudo.write(folder)
    use_folder(folder)
    found = told(pseudo.LANGUAGE, texts_of_all_scripts())
    assert found["texts"]["{duration} ago"] == pseudo.accented("{duration} ago")
    assert found["texts"].keys() == {
        f"{each.context}\x04{each.text}" if each.context else each.text for each in texts_of_all_scripts()
    }


def test_a_text_of_several_forms_names_the_table_of_the_catalogue_that_it_is_from(
    folder: Path,
) -> None:
    texts = (ScriptText("{count} job", "{count} jobs"), ScriptText("{count} payout", "{count} payouts"))
    (folder / "ru.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "{count} payout"\nmsgid_plural "{count} payouts"\nmsgstr[0] "один"\nmsgstr[1] "много"\n'
    )
    use_folder(folder)
    found = told("ru", texts)
    of_jobs, of_payouts = (found["texts"][each.text] for each in texts)
    assert [found["plurals"][of_jobs[0]][number] for number in (1, 2, 5, 11, 21, 101)] == [*"012200"]
    assert [found["plurals"][of_payouts[0]][number] for number in (1, 2, 5, 11, 21, 101)] == [*"011111"]
    assert of_payouts[1:] == ["один", "много"]


def test_the_catalogue_changes_its_tag_with_its_texts() -> None:
    texts = (ScriptText("{count} job", "{count} jobs"), ScriptText("The bot is working"))
    tags = [catalogue_script("de", some).tag for some in (texts, texts[:1], texts)]
    assert tags[0] == tags[2] != tags[1]


def test_a_text_that_is_not_in_the_chats_catalogue_is_said_from_the_pages() -> None:
    with speaking("de"):
        assert gettext("The bot is working") != "The bot is working"
        assert ngettext("Last day", "Last {count} days", 3) == "Letzte 3 Tage"
