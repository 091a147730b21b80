"""Telegram's HTML: what is taken, what people see of it, and what is wrong where. The local Telegram says the same."""

from __future__ import annotations

import pytest

from ballast.chat.markup import HtmlError, is_html, plain_text
from devstack.telegram.errors import ApiError
from devstack.telegram.text import parse_html


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("Hello", "Hello"),
        ("  Hello \n", "Hello"),
        ("<b>Bold</b> <i>it<u>al</u>ic</i>", "Bold italic"),
        ("<B>Bold</B>", "Bold"),
        ('<a href="https://e.org/?a=1&amp;b=2">link</a>', "link"),
        ("<a href='https://e.org'>link</a>", "link"),
        ("<a href=x.org>link</a >", "link"),
        ('<span class="tg-spoiler">hidden</span><tg-spoiler>too</tg-spoiler>', "hiddentoo"),
        ("<blockquote expandable>long</blockquote>", "long"),
        ('<pre><code class="language-python">x = 1</code></pre>', "x = 1"),
        ('<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>', "👍"),
        ("&lt;b&gt; &amp; &quot;&#65;&#x42;", '<b> & "AB'),
        ("fish & chips &nbsp; &copy;", "fish & chips &nbsp; &copy;"),
        ("a > b", "a > b"),
        ("<b>x</>", "x"),
    ],
)
def test_what_people_see_of_it(source: str, plain: str) -> None:
    assert plain_text(source) == plain


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("<b>never closed", "<b> is never closed (line 1, character 1)"),
        ("one\ntwo <i>x</b>", "</b> stands where </i> was expected (line 2, character 9)"),
        ("x</b>", "</b> closes nothing (line 1, character 2)"),
        ("<p>x</p>", "<p> is no tag that Telegram knows"),
        ("x<br/>y", "<br/> is no tag that Telegram knows"),
        ("1 < 2", "a < in the text is written &lt; (line 1, character 3)"),
        ("1 < 2 > 1", "a < is no tag that Telegram knows"),
        ("<b", "has no > at its end (line 1, character 1)"),
        ("<b>x</b", "has no > at its end (line 1, character 5)"),
        ("<span>x</span>", '<span> needs class="tg-spoiler"'),
        # The local Telegram is less strict with these.
        ('<a href="x>y</a>', "an attribute that cannot be read (line 1, character 4)"),
        ("<tg-emoji>x</tg-emoji>", "<tg-emoji> needs emoji-id"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(source: str, what: str) -> None:
    with pytest.raises(HtmlError) as error:
        plain_text(source)
    assert what in str(error.value)
    if "emoji" not in source and "href" not in source:
        with pytest.raises(ApiError):
            parse_html(source)


@pytest.mark.parametrize(
    ("text", "html"),
    [("1 < 2 & 3", False), ("a <b and c", False), ("<b>x</b>", True), ("x &amp; y", True), ("</i>", True)],
)
def test_a_text_without_tags_is_no_html(text: str, html: bool) -> None:
    assert is_html(text) is html
