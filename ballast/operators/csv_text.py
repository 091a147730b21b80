"""CSV as text, which a spreadsheet opens without running any of it. The one place that writes what people download."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from dbcore.text import csv_cell

T = TypeVar("T")

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class Table(Generic[T]):
    """A kind of rows, written some at a time, so that one of any size fits in memory."""

    def __init__(self, columns: Sequence[str], row: Callable[[T], Iterable[object]]) -> None:
        self._columns = columns
        self._row = row

    def head(self) -> str:
        return _written([self._columns])

    def rows(self, items: Iterable[T]) -> str:
        return _written([_cell(each) for each in self._row(item)] for item in items)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A header and a line for each row."""
    table = Table[Mapping[str, Any]](columns, lambda row: [row[name] for name in columns])
    return table.head() + table.rows(rows)


def _written(rows: Iterable[Iterable[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _cell(value: object) -> object:
    """None is empty. A text is on one line, and one that a spreadsheet would run is quoted by an apostrophe; numbers
    stay numbers.
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat()
        case str():
            return value if _NUMBER.fullmatch(value) else csv_cell(value)
    return value
