"""What is refused before anything is booked: of columns, and of values that do not go together."""

from __future__ import annotations

from pathlib import Path

from dbcore.importing.reading import Rules, read_history, read_people
from dbcore.importing.sources import open_source
from dbcore.importing.spool import Spool


def reported(
    folder: Path, people: str, *, history: str | None = None, names: dict[str, str | None] | None = None
) -> list[str]:
    """What is said of a CSV text of people, and of one of movements."""
    rules = Rules(exponent=2, currency="CREDIT", names=names or {})
    lines: list[str] = []
    with Spool() as spool:
        (folder / "people.csv").write_text(people)
        with open_source(str(folder / "people.csv")) as source:
            read_people(source, rules, spool, lines.append, lambda _: None)
        if history is not None:
            (folder / "history.csv").write_text(history)
            with open_source(str(folder / "history.csv")) as source:
                read_history(source, rules, spool, lines.append, lambda _: None)
    return lines


def test_a_column_with_decimal_commas_and_points_is_refused_with_both_lines(tmp_path: Path) -> None:
    assert reported(tmp_path, "telegram_id;balance\n1;7\n2;12,50\n3;8\n4;1.00\n5;2,00\n") == [
        "line 5: balance: expected a decimal comma, as in line 3, found '1.00'"
    ]
    movements = "id;telegram_id;amount;made_at\n1;1;1.00;2024-01-01\n2;1;1,00;2024-01-02\n"
    assert reported(tmp_path, "telegram_id;balance\n1;12,50\n", history=movements) == [
        "history, line 3: amount: expected a decimal point, as in history, line 2, found '1,00'"
    ]
