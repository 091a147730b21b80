"""A source's rows as people and movements. Every invalid value is reported with its line, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any, TypeVar

from dbcore.importing import values
from dbcore.importing.sources import BrokenRow, Row, Source, SourceError
from dbcore.importing.spool import Movement, Person, Spool
from dbcore.importing.values import InvalidValue, shown
from dbcore.money import format_amount
from dbcore.sentences import Sentence, sentence, several
from dbcore.text import one_line

T = TypeVar("T")

PERSON_COLUMNS = (
    "telegram_id",
    "balance",
    "username",
    "first_name",
    "language_code",
    "registered_at",
    "status",
    "broadcasts_stopped",
)
MOVEMENT_COLUMNS = ("id", "telegram_id", "amount", "made_at", "memo")

_COLUMNS_LENGTH_MAX = 300
_AMOUNTS = ("balance", "amount")
_MARKS = {".": sentence("point"), ",": sentence("comma")}

Report = Callable[[Sentence], None]
"""Takes a line that says what is invalid."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How values are to be read.

    names -- how the source calls a column, where it is not by our name; None leaves a column out.
    minor -- amounts are in minor units already. zone -- of times that say none.
    negative_as_zero -- a negative balance is imported as 0; otherwise it is invalid.
    """

    exponent: int
    currency: str
    names: Mapping[str, str | None]
    minor: bool = False
    zone: tzinfo = UTC
    negative_as_zero: bool = False

    def money(self, units: int) -> str:
        return format_amount(units, self.exponent, self.currency)

    def difference(self, units: int) -> str:
        """With its sign."""
        return ("+" if units > 0 else "") + self.money(units)


@dataclass(frozen=True, slots=True)
class Columns:
    """Whether the source has balances and usernames, and which of its columns mean nothing here.

    lacks_mapped_id -- it has no column by the name that telegram_id was mapped to.
    """

    has_balances: bool
    has_usernames: bool
    ignored: tuple[str, ...]
    lacks_mapped_id: bool


def _listed(columns: Iterable[str]) -> str:
    return one_line(", ".join(columns), _COLUMNS_LENGTH_MAX)


class _Reader:
    """What both kinds of rows have in common: the source's columns, and reports by line."""

    def __init__(
        self, source: Source, rules: Rules, known: Iterable[str], report: Report, *, of_history: bool
    ) -> None:
        self._rules = rules
        self._report = report
        self._numbered = source.numbered
        self._of_history = of_history
        unknown = next(
            (name for name in rules.names if name not in {*PERSON_COLUMNS, *MOVEMENT_COLUMNS}), None
        )
        if unknown is not None:
            columns = ", ".join(dict.fromkeys((*PERSON_COLUMNS, *MOVEMENT_COLUMNS)))
            raise SourceError(
                sentence(
                    "--map: expected one of {columns}; got {unknown}", columns=columns, unknown=repr(unknown)
                )
            )
        self.columns: dict[str, str] = {}
        self.lacks_mapped_id = False
        self._marks: dict[str, tuple[str, int]] = {}
        for column in known:
            name = rules.names.get(column, column)
            if name is None:
                continue
            if column == "telegram_id" and name not in source.columns:
                self.lacks_mapped_id = name != column
                name = column  # people and movements may call it differently
            if name in source.columns:
                self.columns[column] = name
            elif column in rules.names:
                raise SourceError(
                    sentence(
                        "--map {column}={name}: expected a column of the source, which has {columns}",
                        column=column,
                        name=one_line(name),
                        columns=_listed(source.columns),
                    )
                )
        self._columns = source.columns
        users: dict[str, str] = {}
        for column, name in self.columns.items():
            if users.setdefault(name, column) != column:
                raise SourceError(
                    sentence(
                        "--map: expected a column of its own for each of {one} and {other}; got {name} for both",
                        one=users[name],
                        other=column,
                        name=one_line(name),
                    )
                )

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns of the source that mean nothing here."""
        return tuple(name for name in self._columns if name not in self.columns.values())

    def require(self, *columns: str) -> None:
        for column in columns:
            if column not in self.columns:
                raise SourceError(
                    sentence(
                        "expected a column {column}, found {found}. Name yours by --map {column}=YOURS",
                        column=column,
                        found=_listed(self._columns),
                    )
                )

    def wrong(self, line: int, why: Sentence | str) -> None:
        self._report(several((self._place(line), why), ": "))

    def _place(self, line: int) -> Sentence:
        if self._numbered == "row":
            row = sentence("row {number}", number=str(line))
            return sentence("history, row {number}", number=str(line)) if self._of_history else row
        if self._of_history:
            return sentence("history, line {number}", number=str(line))
        return sentence("line {number}", number=str(line))

    def taken(
        self, line: int, row: Row, meanings: Mapping[str, Callable[[Any], Any]]
    ) -> dict[str, Any] | None:
        """The row's values by our names. None, and a report for each, if any is invalid."""
        found: dict[str, Any] = dict.fromkeys(meanings)
        good = True
        for column, meaning in meanings.items():
            # An object may have what the first one had not.
            name = self.columns.get(column, self._rules.names.get(column, column))
            if name is None or (name not in self._columns and row.get(name) is None):
                continue
            if column == "balance" and column not in self.columns:
                self.wrong(
                    line,
                    sentence("balance: expected none, as in line 1, found {value}", value=shown(row[name])),
                )
                good = False
                continue
            try:
                found[column] = meaning(row.get(name))
                if column in _AMOUNTS:
                    self._require_one_mark(column, line, row.get(name))
            except InvalidValue as error:
                self.wrong(line, several((column, error.whole), ": "))
                good = False
        return found if good else None

    def _require_one_mark(self, column: str, line: int, value: object) -> None:
        """Where a column has decimal commas and points, one of them may be thousands."""
        mark = values.decimal_mark(value)
        if mark is None:
            return
        first, before = self._marks.setdefault(column, (mark, line))
        if mark != first:
            raise InvalidValue(
                sentence(
                    "expected a decimal {mark}, as in {place}, found {value}",
                    mark=_MARKS[first],
                    place=self._place(before),
                    value=shown(value),
                )
            )


def read_people(
    source: Source, rules: Rules, spool: Spool, report: Report, advance: Callable[[int], None]
) -> Columns:
    """Every person into the spool. What the source has of columns.

    advance -- is told the source's position as it goes on. Raises SourceError.
    """
    reader = _Reader(source, rules, PERSON_COLUMNS, report, of_history=False)
    reader.require("telegram_id")
    meanings: dict[str, Callable[[Any], Any]] = {
        "telegram_id": values.telegram_id,
        "balance": lambda value: values.amount(value, rules.exponent, minor=rules.minor),
        "username": values.username,
        "first_name": values.line_of_text,
        "language_code": values.language_code,
        "registered_at": lambda value: values.moment(value, rules.zone),
        "status": values.status,
        "broadcasts_stopped": values.flag,
    }
    has_usernames = "username" in reader.columns
    for line, row in source:
        advance(source.position)
        person = _person(reader, line, row, meanings, rules)
        has_usernames |= person is not None and person.username is not None
        if person is not None and (before := spool.add_person(person)) is not None:
            reader.wrong(
                line,
                sentence(
                    "telegram_id: expected each person once, found {id}, as in {line}",
                    id=str(person.telegram_id),
                    line=str(before),
                ),
            )
    advance(source.size)
    return Columns(
        has_balances="balance" in reader.columns,
        has_usernames=has_usernames,
        ignored=reader.ignored,
        lacks_mapped_id=reader.lacks_mapped_id,
    )


def missing_id(rules: Rules) -> SourceError:
    """For a name of telegram_id that neither the people nor the movements have a column by."""
    name = one_line(rules.names.get("telegram_id") or "telegram_id")
    return SourceError(
        sentence("--map telegram_id={name}: expected a column of the source, found none", name=name)
    )


def _person(
    reader: _Reader,
    line: int,
    row: Row | BrokenRow,
    meanings: Mapping[str, Callable[[Any], Any]],
    rules: Rules,
) -> Person | None:
    if isinstance(row, BrokenRow):
        reader.wrong(line, row.why)
        return None
    found = reader.taken(line, row, meanings)
    if found is None:
        return None
    balance: int | None = found["balance"]
    owed = 0
    if balance is not None and balance < 0:
        if not rules.negative_as_zero:
            reader.wrong(
                line,
                sentence(
                    "balance: expected zero or more, found {amount}. {option} imports it as 0",
                    amount=rules.money(balance),
                    option="--negative-as-zero",
                ),
            )
            return None
        balance, owed = 0, -balance
    registered_at = found["registered_at"]
    return Person(
        telegram_id=found["telegram_id"],
        line=line,
        balance=balance,
        username=found["username"],
        first_name=found["first_name"],
        language_code=found["language_code"],
        registered_at=registered_at and _sortable(registered_at),
        status=found["status"],
        stopped=found["broadcasts_stopped"],
        owed=owed,
    )


def read_history(
    source: Source,
    rules: Rules,
    spool: Spool,
    report: Report,
    advance: Callable[[int], None],
    *,
    people: Columns,
) -> None:
    """Every movement into the spool; for after the people. A history that does not fit is dropped and reported.

    people -- what `read_people` returned. Other parameters and errors as there.
    """
    reader = _Reader(source, rules, MOVEMENT_COLUMNS, report, of_history=True)
    if people.lacks_mapped_id and reader.lacks_mapped_id:
        raise missing_id(rules)
    reader.require("id", "telegram_id", "amount", "made_at")
    meanings: dict[str, Callable[[Any], Any]] = {
        "id": values.movement_id,
        "telegram_id": values.telegram_id,
        "amount": lambda value: _not_zero(values.amount(value, rules.exponent, minor=rules.minor)),
        "made_at": lambda value: _required(values.moment(value, rules.zone)),
        "memo": values.line_of_text,
    }
    for line, row in source:
        advance(source.position)
        if isinstance(row, BrokenRow):
            reader.wrong(line, row.why)
            continue
        found = reader.taken(line, row, meanings)
        if found is None:
            continue
        movement = Movement(**{**found, "made_at": _sortable(found["made_at"]), "line": line})
        if (before := spool.add_movement(movement)) is not None:
            reader.wrong(
                line,
                sentence(
                    "id: expected each movement once, found {id}, as in {line}",
                    id=movement.id,
                    line=str(before),
                ),
            )
    advance(source.size)
    unfit: set[int] = set()
    for line, stranger in spool.movements_of_strangers():
        reader.wrong(line, sentence("telegram_id: expected one of the people, found {id}", id=str(stranger)))
        unfit.add(stranger)
    for _, telegram_id, lowest in spool.histories_below_zero():
        report(
            sentence(
                "history of {id}: expected movements that lead to their balance, found that they start from or lead to "
                "{amount}",
                id=str(telegram_id),
                amount=rules.money(lowest),
            )
        )
        unfit.add(telegram_id)
    for telegram_id in unfit:
        spool.drop_history(telegram_id)


def _sortable(moment: Any) -> str:
    return str(moment.isoformat(timespec="microseconds"))


def _not_zero(units: int) -> int:
    if units == 0:
        raise InvalidValue(sentence("expected an amount other than 0, found 0"))
    return units


def _required(value: T | None) -> T:
    if value is None:
        raise InvalidValue(sentence("expected a time, found nothing"))
    return value
