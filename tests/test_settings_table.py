"""docs/settings.md and .env.example say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbcore.settings import Settings
from devstack.options import RunOptions

ROOT = Path(__file__).parents[1]

# Defaults that are no constant of the code; the words the table has for them.
WORDS: dict[object, str] = {None: "unset", frozenset(): "none", (): "none"}
COMPUTED = {
    "TELEGRAM_WEBHOOK_SECRET": "derived from the token",
    "FLOWER_BASIC_AUTH": "drawn at each `make run`",
}


def options() -> dict[str, object]:
    """Every option with its default."""
    found: dict[str, object] = {
        name.upper(): () if field.default == {} else field.default
        for name, field in Settings.model_fields.items()
    }
    return found | {
        f"BALLAST_{name.upper()}": field.default for name, field in RunOptions.model_fields.items()
    }


def table() -> list[list[str]]:
    """The rows of docs/settings.md: option, default, meaning, expected."""
    lines = (ROOT / "docs/settings.md").read_text().partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def example() -> dict[str, str]:
    """The options of .env.example with the values shown there."""
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", text, flags=re.MULTILINE))


def test_the_table_has_every_option_once_in_the_codes_order() -> None:
    assert [row[0].strip("`") for row in table()] == list(options())


@pytest.mark.parametrize(("option", "default"), options().items())
def test_the_table_tells_the_default(option: str, default: object) -> None:
    (told,) = [row[1] for row in table() if row[0] == f"`{option}`"]
    assert told == COMPUTED.get(option, WORDS.get(default, f"`{default}`"))


def test_every_row_has_a_meaning_and_an_expectation() -> None:
    assert all(len(row) == 4 and all(row) for row in table())


def test_the_example_names_every_option_in_the_codes_order() -> None:
    assert list(example()) == list(options())


@pytest.mark.parametrize(("option", "shown"), example().items())
def test_the_example_shows_the_default(option: str, shown: str) -> None:
    default = options()[option]
    if default not in WORDS:
        assert shown == str(default)


def test_an_example_with_every_line_taken_as_it_stands_is_accepted(tmp_path: Path) -> None:
    copy = tmp_path / ".env"
    copy.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    settings = Settings(_env_file=copy)
    assert settings.db_pool_size == 3
