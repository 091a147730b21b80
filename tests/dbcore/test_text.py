from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbcore.text import csv_cell, isolated, one_line, shows_something, visible_json

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
RAINBOW = "\U0001f3f3\ufe0f\u200d\U0001f308"
MEDIC = "\U0001f469\U0001f3fd\u200d\u2695\ufe0f"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
GREECE = "\U0001f1ec\U0001f1f7"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Carol", "Carol"),
        ("  Carol\u00a0 \u3000Smith ", "Carol Smith"),
        ("lunch\nYour balance is 9.00", "lunch Your balance is 9.00"),
        ("a\r\nb\u2028c\u2029d\u0085e\x0bf", "a b c d e f"),
        ("\u202e?)lorac@( loraC", "?)lorac@( loraC"),
        ("\u2066a\u2067b\u2068c\u2069\u200e\u200f\u061c", "abc"),
        ("Ca\u200brol\ufeff\u00ad\u2060", "Carol"),
        ("\x1b[31mred\x07\x9b", "[31mred"),
        ("a\U000e0041\U000e0100b", "ab"),
        ("\u3164\u2800\u115f", ""),
        ("Zoe\u0308 \u2764\ufe0f", "Zoe\u0308 \u2764\ufe0f"),
        ("Z" + "\u0301" * 40, "Z" + "\u0301" * 3),
        ("\u0e01" + "\u0e49" * 30, "\u0e01" + "\u0e49" * 3),
        ("\u0628" + "\u0610" * 30 + "\u0628", "\u0628" + "\u0610" * 3 + "\u0628"),
        ("\u0f40" + "\u0f71\u0301" * 30, "\u0f40\u0f71\u0301\u0f71"),
        ("a\U0001d159\U0001d159b", "a b"),
        ("a\u200db\u200d \u200d", "ab"),
        ("\U0001f44d\u200dgood", "\U0001f44dgood"),
        (f"{FAMILY} {RAINBOW} {MEDIC}", f"{FAMILY} {RAINBOW} {MEDIC}"),
        (f"{ENGLAND} {GREECE}", f"{ENGLAND} {GREECE}"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007fx", "\U0001f3f4x"),
        ("half\ud800 \x00pair", "half? pair"),
        ("كارول", "كارول"),
    ],
)
def test_a_text_from_outside_is_one_line_of_what_people_see(written: str, shown: str) -> None:
    assert one_line(written) == shown


def test_a_cut_text_says_that_it_was_cut() -> None:
    assert one_line("x" * 32, 32) == "x" * 32
    assert one_line("x" * 33, 32) == "x" * 31 + "…"
    assert one_line("word and more", 6) == "word…"


@pytest.mark.parametrize(
    ("written", "length_max", "shown"),
    [
        (f"ab{GREECE}{GREECE}", 4, "ab…"),
        (f"ab{GREECE}{GREECE}", 5, f"ab{GREECE}…"),
        (f"{GREECE}" * 3, 4, f"{GREECE}…"),
        (f"ab{FAMILY}", 6, "ab…"),
        (f"ab{MEDIC} cd", 6, "ab…"),
        (f"ab{ENGLAND} cd", 7, "ab…"),
        ("abe\u0301\u0302 cd", 5, "ab…"),
        (f"{FAMILY}", 4, "…"),
    ],
)
def test_what_is_seen_as_one_character_is_not_cut_in_two(written: str, length_max: int, shown: str) -> None:
    assert one_line(written, length_max) == shown


@given(
    st.text() | st.text(alphabet=f"{FAMILY}{MEDIC}{ENGLAND}{GREECE}\u0301\u0610\u200b\u200d a"),
    st.integers(1, 40),
)
def test_no_text_breaks_out_of_its_line(text: str, length_max: int) -> None:
    line = one_line(text, length_max)
    assert len(line) <= length_max
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in line)
    assert not re.search("[\u200b\u200c\u200e\u200f\u202a-\u202e\u2066-\u2069]", line)
    assert one_line(line, length_max) == line


@pytest.mark.parametrize(
    "nothing", ["", "\U0001d159", "\u200d", "\u200b", "\u3164", "\u0301", "\ufe0f", "\u202e \n"]
)
def test_what_nobody_sees_shows_nothing(nothing: str) -> None:
    assert not shows_something(one_line(nothing))


def test_right_to_left_words_turn_nothing_but_themselves() -> None:
    assert isolated("Carol") == "Carol"
    assert isolated("كارول") == "\u2068كارول\u2069"
    assert isolated("דנה 5") == "\u2068דנה 5\u2069"


@pytest.mark.parametrize(
    "formula",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\u200b=1", " =1", "\uff1d1", "\r\n=cmd|' /C calc'!A0"],
)
def test_no_cell_of_a_csv_begins_a_formula(formula: str) -> None:
    cell = csv_cell(formula)
    assert cell.startswith("'")
    assert "\n" not in cell


def test_a_plain_cell_of_a_csv_is_left_alone() -> None:
    assert csv_cell("Forbidden: bot was blocked") == "Forbidden: bot was blocked"


def test_json_for_a_terminal_hides_and_orders_nothing() -> None:
    value = {"text": "привет\u202e \x9b31m \u200b\U000e0041"}
    shown = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert "привет\\u202e \\u009b31m \\u200b\\udb40\\udc41" in shown
    assert json.loads(shown) == value
