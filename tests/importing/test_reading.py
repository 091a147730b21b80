"""What is refused before anything is booked: of columns, and of values that do not go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from ballast.cli.import_report import ImportOptions, run_import
from dbcore.guard.engine import GuardedEngine
from dbcore.importing.reading import Rules, read_history, read_people
from dbcore.importing.sources import SourceError, open_source
from dbcore.importing.spool import Spool
from dbcore.sentences import Sentence
from dbcore.settings import Settings

HISTORY = "id,telegram_id,amount,made_at\n1,1,1.00,2024-01-01\n"


def reported(
    folder: Path, people: str, *, history: str | None = None, names: dict[str, str | None] | None = None
) -> list[str]:
    """What is said of a CSV text of people, and of one of movements."""
    rules = Rules(exponent=2, currency="CREDIT", names=names or {})
    lines: list[Sentence] = []
    with Spool() as spool:
        (folder / "people.csv").write_text(people)
        with open_source(str(folder / "people.csv")) as source:
            columns = read_people(source, rules, spool, lines.append, lambda _: None)
        if history is not None:
            (folder / "history.csv").write_text(history)
            with open_source(str(folder / "history.csv")) as source:
                read_history(source, rules, spool, lines.append, lambda _: None, people=columns)
    return [str(line) for line in lines]


def test_a_column_with_decimal_commas_and_points_is_refused_with_both_lines(tmp_path: Path) -> None:
    assert reported(tmp_path, "telegram_id;balance\n1;7\n2;12,50\n3;8\n4;1.00\n5;2,00\n") == [
        "line 5: balance: expected a decimal comma, as in line 3, found '1.00'"
    ]
    movements = "id;telegram_id;amount;made_at\n1;1;1.00;2024-01-01\n2;1;1,00;2024-01-02\n"
    assert reported(tmp_path, "telegram_id;balance\n1;12,50\n", history=movements) == [
        "history, line 3: amount: expected a decimal point, as in history, line 2, found '1,00'"
    ]


@pytest.mark.parametrize("names", [{}, {"telegram_id": "telegram_id", "balance": "money"}])
def test_names_of_columns_are_shown_without_what_a_terminal_obeys(
    tmp_path: Path, names: dict[str, str | None]
) -> None:
    header = "\x1b[2Jevil,\u202eelif" + (",telegram_id" if names else "")
    with pytest.raises(SourceError, match=r"\[2Jevil, elif") as raised:
        reported(tmp_path, f"{header}\n", names=names)
    assert "\x1b" not in str(raised.value)
    assert "\u202e" not in str(raised.value)


def test_a_column_that_would_be_used_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        reported(tmp_path, "telegram_id\n1\n", names={"balance": "telegram_id"})
    assert str(raised.value) == (
        "--map: expected a column of its own for each of telegram_id and balance; got telegram_id for both"
    )


@pytest.fixture
def options(tmp_path: Path) -> ImportOptions:
    """Of an import that is refused before anybody asks the database."""
    (tmp_path / "history.csv").write_text(HISTORY)
    rules = Rules(exponent=2, currency="CREDIT", names={})
    return ImportOptions(source="shop", where=str(tmp_path / "people.csv"), rules=rules)


def run(options: ImportOptions, people: str) -> bool:
    Path(options.where).write_text(people)
    return run_import(cast(GuardedEngine, None), cast(Settings, None), options)


def test_a_history_without_balances_that_it_leads_to_is_refused(options: ImportOptions) -> None:
    history = str(Path(options.where).with_name("history.csv"))
    with pytest.raises(SourceError, match="a history needs a column balance of the people"):
        run(replace(options, history=history), "telegram_id\n1\n")


@pytest.mark.parametrize("with_history", [False, True])
def test_a_name_of_telegram_id_that_is_nowhere_is_refused(options: ImportOptions, with_history: bool) -> None:
    history = str(Path(options.where).with_name("history.csv")) if with_history else None
    nowhere = replace(options, history=history, rules=replace(options.rules, names={"telegram_id": "nope"}))
    with pytest.raises(SourceError, match="--map telegram_id=nope: expected a column of the source"):
        run(nowhere, "telegram_id,balance\n1,1.00\n")


def test_a_name_of_telegram_id_may_be_of_one_source_alone(tmp_path: Path) -> None:
    names: dict[str, str | None] = {"telegram_id": "user"}
    assert reported(tmp_path, "user,balance\n1,1.00\n", history=HISTORY, names=names) == []
    theirs = HISTORY.replace("telegram_id", "user")
    assert reported(tmp_path, "telegram_id,balance\n1,1.00\n", history=theirs, names=names) == []


@pytest.mark.parametrize("dry", [False, True])
def test_a_source_without_people_is_no_success(
    options: ImportOptions, dry: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not run(replace(options, dry=dry), "telegram_id,balance\n")
    assert capsys.readouterr().out == "no people in the source\n"
