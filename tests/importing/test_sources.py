"""What is said of a source that cannot be opened: one line, and no password in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbcore.importing.sources import SourceError, open_source

SECRET = "supersecret9"


@pytest.mark.parametrize("query", ["SELECT 1", None])
@pytest.mark.parametrize(
    "where",
    [
        f"host=127.0.0.1 user=u password={SECRET} dbname=x",
        f"host=127.0.0.1 user=u password={SECRET} dbname=x.csv",
        f"postgresql:/u:{SECRET}@h/db",
        f"postgresql:/u:{SECRET}@h/db.jsonl",
        f"postgres//u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:port/db",
        f"sqlite://u:p@h:{SECRET}/x",
        f"sqlite:///u:{SECRET}@h/x",
        f"sqlite://u:{SECRET}@[::1/db",
        f"sqlite+pysqlite://u:p@{SECRET}@h/db",
        f"mysql+pymysql://u:p@h:{SECRET}/x",
        f"mysql+mysqldb://u:{SECRET}@[::1/db",
        f"postgresql+nosuch://u:p@{SECRET}@h/db",
        f"://{SECRET}@h",
        f"oracle://u:p@h:{SECRET}/x",
    ],
)
def test_a_password_in_a_mistyped_address_is_not_shown(where: str, query: str | None) -> None:
    with pytest.raises(SourceError) as raised:
        open_source(where, query)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_the_driver_does_not_take_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError(f"connect() got an unexpected keyword argument '{SECRET}'")

    (tmp_path / "shop.db").touch()
    monkeypatch.setattr("sqlalchemy.engine.base.Engine.connect", refuse)
    with pytest.raises(SourceError) as raised:
        open_source(f"sqlite:///{tmp_path}/shop.db", "SELECT 1")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("rows", [0, 3])
def test_a_date_that_python_cannot_hold_is_told_without_a_traceback(database_url: str, rows: int) -> None:
    query = f"SELECT g, CASE WHEN g > {rows} THEN '0044-03-15 BC'::timestamp END FROM generate_series(1, 9) g"
    with (
        pytest.raises(SourceError, match="expected values that Python can hold"),
        open_source(database_url, query) as source,
    ):
        list(source)


def test_a_file_that_is_mistyped_is_shown(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"No such file or directory: '.*/people\.csv'"):
        open_source(str(tmp_path / "people.csv"))


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("a" * 131_073 + ",telegram_id\n1,2\n")
    with pytest.raises(
        SourceError, match="expected a first line with the names of the columns: field larger"
    ):
        open_source(str(path))


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "people.csv")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("people.csv", "folder.jsonl"):
        with pytest.raises(SourceError, match=f"expected an ordinary file, found '.*{name}'"):
            open_source(str(tmp_path / name))
