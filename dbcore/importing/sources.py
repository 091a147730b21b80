"""What is imported from: a CSV file, JSON lines, or a query on a database. Rows are read one at a time."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sqlalchemy import Connection, CursorResult, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from dbcore.database_url import is_postgresql
from dbcore.guard import pool
from dbcore.sentences import Explained, Refusal, Sentence, sentence
from dbcore.text import one_line

ROWS_AT_ONCE = 1_000
_WORDS_MAX = 1_000
_DELIMITERS = (",", ";", "\t")

Row = Mapping[str, Any]


class SourceError(Explained):
    """The source cannot be read at all. It says what was expected and what was found."""


class BrokenRow:
    """A row that cannot be taken apart; reading it goes on with the next."""

    def __init__(self, why: Sentence | str) -> None:
        self.why = why


class Source(Protocol):
    """An open source.

    columns -- of its rows; of JSON lines those of the first one.
    size -- how much there is to read, in whatever `position` counts in. 0: unknown.
    numbered -- what its numbers count: `line` or `row`.
    """

    columns: tuple[str, ...]
    size: int
    numbered: str

    @property
    def position(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[int, Row | BrokenRow]]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _shown(where: str | None) -> str:
    """As it may stand in a message: what could be a mistyped address may hold a password, and is not shown."""
    if where and any(mark in where for mark in "=@:"):
        return "something that is not shown, since it may hold a password"
    return repr(where)


class _File:
    numbered = "line"
    columns: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise SourceError(
                    sentence("expected an ordinary file, found {path}, which is none", path=_shown(str(path)))
                )
            self.size = status.st_size
            self._bytes = path.open("rb")
        except OSError as error:
            raise SourceError(
                sentence(
                    "expected a file to read, found: {reason}: {path}",
                    reason=error.strerror or sentence("no file"),
                    path=_shown(str(path)),
                )
            ) from None
        except ValueError:  # a NUL in it
            raise SourceError(sentence("expected the path of a file")) from None
        # What is not UTF-8 becomes a character that the row's own values are refused for.
        self._text = io.TextIOWrapper(self._bytes, encoding="utf-8-sig", errors="surrogateescape", newline="")

    @property
    def position(self) -> int:
        return self._bytes.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()


def _require_once(columns: tuple[str, ...], where: str) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise SourceError(
            sentence(
                "{where}: expected each column once, found {column} twice", where=where, column=repr(twice)
            )
        )


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


class CsvFile(_File):
    """With a header. The delimiter is a comma, a semicolon or a tab: whichever the header has most of."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        header = self._text.readline()
        if not header.strip() or not _is_text(header):
            raise SourceError(
                sentence("{path}: expected a first line with the names of the columns, in UTF-8", path=path)
            )
        self._delimiter = max(_DELIMITERS, key=header.count)
        try:
            names = next(csv.reader([header], delimiter=self._delimiter))
        except csv.Error as error:
            raise SourceError(
                sentence(
                    "{path}: expected a first line with the names of the columns: {error}",
                    path=path,
                    error=error,
                )
            ) from None
        self.columns = tuple(name.strip() for name in names)
        _require_once(self.columns, str(path))

    def __iter__(self) -> Iterator[tuple[int, Row | BrokenRow]]:
        rows = csv.reader(self._text, delimiter=self._delimiter, strict=True)
        while True:
            line = rows.line_num + 2
            try:
                cells = next(rows, None)
            except csv.Error as error:
                yield line, BrokenRow(sentence("expected a line of CSV: {error}", error=error))
                continue
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(self.columns):
                yield (
                    line,
                    BrokenRow(
                        sentence(
                            "expected {columns} columns, found {cells}",
                            columns=len(self.columns),
                            cells=len(cells),
                        )
                    ),
                )
            elif not all(map(_is_text, cells)):
                yield line, BrokenRow(sentence("expected text in UTF-8"))
            else:
                yield line, dict(zip(self.columns, cells, strict=True))


class JsonLines(_File):
    """One object per line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first = self._text.readline()
        row = _json_row(first)
        if isinstance(row, BrokenRow):
            raise SourceError(sentence("{path}: line 1: {why}", path=path, why=row.why))
        self.columns = tuple(row)
        self._first = first

    def __iter__(self) -> Iterator[tuple[int, Row | BrokenRow]]:
        yield 1, _json_row(self._first)
        for line, text in enumerate(self._text, start=2):
            if text.strip():
                yield line, _json_row(text)


def _json_row(text: str) -> Row | BrokenRow:
    if not _is_text(text):
        return BrokenRow(sentence("expected text in UTF-8"))
    try:
        row = json.loads(text, object_pairs_hook=_object)
    except _RepeatedKeyError as error:
        return BrokenRow(error.whole)
    except (ValueError, RecursionError) as error:
        return BrokenRow(sentence("expected a JSON object: {error}", error=error))
    return (
        row
        if isinstance(row, dict)
        else BrokenRow(sentence("expected a JSON object such as {example}", example='{"telegram_id": 12345}'))
    )


class _RepeatedKeyError(Refusal):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKeyError(sentence("expected each key once, found {key} twice", key=repr(twice)))
    return row


class Query:
    """A query's rows, as the database streams them. It is only read from."""

    numbered = "row"

    def __init__(self, url: str, query: str) -> None:
        self._query = query.strip().rstrip(";")
        self._engine = _engine(url)
        self._connection: Connection | None = None
        self.position = 0
        try:
            connection = self._connection = _connected(self._engine)
            self.size = self._count(connection)
            self._result: CursorResult[Any] = connection.execution_options(
                stream_results=True, yield_per=ROWS_AT_ONCE, no_parameters=True
            ).exec_driver_sql(self._query)
            self.columns = tuple(self._result.keys())
            _require_once(self.columns, "the query")
        except SourceError:
            self._close()
            raise
        except SQLAlchemyError as error:
            self._close()
            raise SourceError(
                sentence("the database rejected the query: {error}", error=_words(error))
            ) from None
        except (ValueError, OverflowError):
            self._close()
            raise SourceError(sentence("the query: {expected}", expected=_EXPECTED_VALUES)) from None

    def _count(self, connection: Connection) -> int:
        counted = f"SELECT count(*) FROM ({self._query}\n) AS counted"  # noqa: S608  the operator's own
        plain = connection.execution_options(no_parameters=True)
        return int(plain.exec_driver_sql(counted).scalar_one())

    def __iter__(self) -> Iterator[tuple[int, Row | BrokenRow]]:
        try:
            for number, row in enumerate(self._result.mappings(), start=1):
                self.position = number
                yield number, dict(row)
        except SQLAlchemyError as error:
            raise SourceError(
                sentence(
                    "the source ended after row {row}: {error}", row=str(self.position), error=_words(error)
                )
            ) from None
        except (ValueError, OverflowError):
            raise SourceError(
                sentence(
                    "the query, after row {row}: {expected}",
                    row=str(self.position),
                    expected=_EXPECTED_VALUES,
                )
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


_EXPECTED_ADDRESS = sentence(
    "the source's address: expected one that SQLAlchemy knows, dialect://user:password@host:port/database"
)


_EXPECTED_VALUES = sentence(
    "expected values that Python can hold, such as no date before the year 1 and none at infinity"
)


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except (ValueError, TypeError):  # from the driver, about a part of the address
        raise SourceError(_EXPECTED_ADDRESS) from None


def _engine(url: str) -> Engine:
    if is_postgresql(url):
        try:
            engine = pool.single(url, application_name="ballast import")
        except ValueError as error:
            raise SourceError(sentence("the source's address: {error}", error=error)) from None
        return engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
    try:
        parts = make_url(url)
        if parts.get_backend_name() == "sqlite":
            return _sqlite(parts.database)
        if "@" not in (parts.host or ""):
            return create_engine(parts, poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:  # it names the dialect or the driver
        raise SourceError(
            sentence(
                "the source's address: expected one that SQLAlchemy knows: {error}",
                error=one_line(str(error), _WORDS_MAX),
            )
        ) from None
    except (ArgumentError, ValueError, TypeError):
        raise SourceError(_EXPECTED_ADDRESS) from None
    raise SourceError(sentence("{expected}, an @ in the password written %40", expected=_EXPECTED_ADDRESS))


def _sqlite(path: str | None) -> Engine:
    """Read-only, and never made: SQLite would begin an empty database where there is none."""
    if not path or not Path(path).is_file():
        raise SourceError(
            sentence(
                "the source's address: expected the file of an SQLite database, found {path}",
                path=_shown(path),
            )
        )
    return create_engine(f"sqlite:///{Path(path).resolve().as_uri()}?mode=ro&uri=true", poolclass=NullPool)


def _words(error: SQLAlchemyError) -> str:
    return one_line(str(getattr(error, "orig", None) or error), _WORDS_MAX)


def open_source(where: str, query: str | None = None) -> Source:
    """By its address, or by a file's ending."""
    if "://" in where:
        if query is None:
            raise SourceError(sentence("a database needs --query: which rows to import"))
        return Query(where, query)
    if query is not None:
        raise SourceError(
            sentence("--query: expected the URL of a database with it, found {where}", where=_shown(where))
        )
    path = Path(where)
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return CsvFile(path)
        case ".jsonl" | ".ndjson":
            return JsonLines(path)
    raise SourceError(
        sentence(
            "expected the URL of a database, or a file that ends in .csv, .tsv, .jsonl or .ndjson, found {where}",
            where=_shown(where),
        )
    )
