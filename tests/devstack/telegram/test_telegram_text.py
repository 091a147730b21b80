"""HTML to text and entities, and the entities Telegram finds by itself."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.telegram.errors import ApiError
from devstack.telegram.text import find_entities, parse_html, parse_text


def test_offsets_count_utf16_units() -> None:
    text, entities = parse_html("👍 <b>да</b>")
    assert text == "👍 да"
    assert entities == [{"type": "bold", "offset": 3, "length": 2}]


def test_nested_tags_and_languages_are_kept() -> None:
    text, entities = parse_html(
        '<pre><code class="language-sql">a &lt; b</code></pre><a href="https://x.org">x</a>'
    )
    assert text == "a < bx"
    assert entities == [
        {"type": "pre", "offset": 0, "length": 5, "language": "sql"},
        {"type": "text_link", "offset": 5, "length": 1, "url": "https://x.org"},
    ]


def test_white_space_at_the_ends_goes_and_takes_its_entities_along() -> None:
    assert parse_text("  <b>  x </b> ", "HTML", None) == ("x", [{"type": "bold", "offset": 0, "length": 1}])


def test_commands_mentions_and_addresses_are_found() -> None:
    found = find_entities("/send@some_bot @carol 5 https://x.org/a, a/b #tag me@x.org")
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in found] == [
        ("bot_command", 0, 14),
        ("mention", 15, 6),
        ("url", 24, 15),
        ("hashtag", 45, 4),
        ("email", 50, 8),
    ]


@pytest.mark.parametrize(
    "source", ["<", "a < b", "<b", "</b>", "<b><i></b></i>", "<script>x</script>", "<b>"]
)
def test_what_is_no_html_of_telegrams_is_refused(source: str) -> None:
    with pytest.raises(ApiError, match="can't parse entities"):
        parse_html(source)


@given(st.text())
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert parse_html(html.escape(text)) == (text, [])


@given(st.text(alphabet="<>/&;biapre \"='x👍\n"))
def test_any_input_is_either_parsed_or_refused(source: str) -> None:
    try:
        text, entities = parse_html(source)
    except ApiError:
        return
    units = len(text.encode("utf-16-le")) // 2
    assert all(e["offset"] >= 0 and e["length"] > 0 and e["offset"] + e["length"] <= units for e in entities)
