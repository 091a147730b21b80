"""What `ballast import` does: reads a source, books it, compares the sums, and prints what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from dbcore.audit import audit, report
from dbcore.engine import GuardedEngine
from dbcore.importing import reading
from dbcore.importing.booking import BATCH, Booked, Booker
from dbcore.importing.reading import Columns, Rules
from dbcore.importing.sources import open_source
from dbcore.importing.spool import Spool, Totals
from dbcore.importing.undoing import Undoer
from dbcore.money import format_amount
from dbcore.settings import Settings
from dbcore.text import one_line

SHOWN_MAX = 1_000
"""Lines of one kind that are printed; the rest are counted."""

IGNORED_LENGTH_MAX = 100


@dataclass(frozen=True, kw_only=True)
class Order:
    """source -- its name. where, query -- its address. history, history_query -- a file with movements, or a query on
    the same database.

    skip_invalid -- import the rest if lines are invalid. settle -- book what has changed since. dry -- only say it.
    """

    source: str
    where: str
    rules: Rules
    query: str | None = None
    history: str | None = None
    history_query: str | None = None
    skip_invalid: bool = False
    settle: bool = False
    dry: bool = False


def carry_out(engine: GuardedEngine, settings: Settings, order: Order) -> bool:
    """Whether every line was valid, everybody has booked what the source has for them, and the audit passes.

    Raises SourceError, and what GuardedEngine.call raises. What was booked by then is booked; another run goes on.
    """
    with Spool() as spool:
        invalid, columns = _read(order, spool)
        if invalid and not order.skip_invalid and not order.dry:
            click.echo("Nothing is imported. Correct these lines, or leave them out by --skip-invalid.")
            return False
        agrees = _book(engine, order, spool, columns)
    return (order.dry or _audit(settings)) and agrees and not invalid


def undo(engine: GuardedEngine, settings: Settings, source: str, *, dry: bool) -> bool:
    """Whether nothing is left of what the source brought, and the audit passes."""

    def money(units: int) -> str:
        return format_amount(units, settings.currency_exponent, settings.currency)

    undoer = Undoer(engine, source, dry=dry)
    if undoer.total == 0:
        click.echo(f"There is no transfer of the source {source}.")
        return False
    transfers = people = amount = done = 0
    spent = _Lines()
    with _progress("Would undo" if dry else "Undoing", undoer.total) as advance:
        for looked_at, batch in undoer.run():
            for found in batch:
                if found.refused is not None:
                    spent.add(
                        f"{found.telegram_id}: {money(found.amount)} cannot be booked ({found.refused}); "
                        f"the balance is {money(found.balance)}"
                    )
                    continue
                people += 1
                transfers += found.transfers
                amount += found.amount
            done += looked_at
            advance(done)
    spent.end()
    click.echo(
        f"{transfers:,} transfers of {people:,} people {'would be' if dry else 'are'} reversed; "
        f"together {money(amount)}"
    )
    return (dry or _audit(settings)) and spent.count == 0


class _Lines:
    """Lines of one kind: the first ones are printed at once, all are counted."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, line: str) -> None:
        self.count += 1
        if self.count <= SHOWN_MAX:
            click.echo(line)

    def end(self) -> None:
        if self.count > SHOWN_MAX:
            click.echo(f"and {self.count - SHOWN_MAX:,} more")


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time that is left, on a terminal. What it gives takes the position, from 0 to `length`."""
    length = max(length, 1)
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:

        def advance(position: int) -> None:
            if position - bar.pos >= length // 500:
                bar.update(position - bar.pos)

        yield advance


def _read(order: Order, spool: Spool) -> tuple[int, Columns]:
    """How many complaints there are, and what the source has."""
    wrong = _Lines()
    with (
        open_source(order.where, order.query) as people,
        _progress("Reading people", people.size) as advance,
    ):
        columns = reading.read_people(people, order.rules, spool, wrong.add, advance)
    if order.history is not None or order.history_query is not None:
        with (
            open_source(order.history or order.where, order.history_query) as movements,
            _progress("Reading history", movements.size) as advance,
        ):
            reading.read_history(movements, order.rules, spool, wrong.add, advance)
    wrong.end()
    return wrong.count, columns


@dataclass(slots=True)
class _Sum:
    """Over the people of the source."""

    new: int = 0
    transfers: int = 0
    openings: int = 0
    booked: int = 0
    after: int = 0
    differ: int = 0
    refused: int = 0

    def add(self, found: Booked) -> None:
        self.new += found.is_new
        self.after += found.after
        self.differ += found.difference != 0
        if found.refused is not None:
            self.refused += 1
        else:
            self.transfers += found.transfers
            self.openings += found.openings
            self.booked += found.amount


def _book(engine: GuardedEngine, order: Order, spool: Spool, columns: Columns) -> bool:
    """Whether everybody has booked what the source has for them."""
    shared = spool.drop_shared_usernames()
    totals = spool.totals()
    booker = Booker(engine, order.source, settle=order.settle, dry=order.dry)
    total, differences, done = _Sum(), _Lines(), 0
    with _progress("Looking up" if order.dry else "Booking", totals.people) as advance:
        for people in spool.batches(BATCH):
            movements = spool.movements(people[0].telegram_id, people[-1].telegram_id)
            for found in booker.book(people, movements):
                total.add(found)
                if found.difference:
                    differences.add(_difference(found, order.rules))
            done += len(people)
            advance(done)
    differences.end()
    money, would = order.rules.money, "would be " if order.dry else ""
    click.echo(f"people   {totals.people:,}, of them {total.new:,} {would}new")
    if shared:
        click.echo(f"         {shared:,} without their username, which the source gives to several")
    if totals.owed:
        click.echo(f"         {totals.negative:,} owe {money(totals.owed)}: {would or 'are '}brought with 0")
    if columns.ignored:
        click.echo(f"ignored  {one_line(', '.join(columns.ignored), IGNORED_LENGTH_MAX)}")
    if not columns.has_balances:
        click.echo("balances none in the source")
        return True
    click.echo(
        f"booked   {total.transfers:,} transfers{' would be' if order.dry else ''}, of them {total.openings:,} "
        f"opening balances; together {money(total.booked)}"
    )
    return _compare(booker, order, totals, total)


def _difference(found: Booked, rules: Rules) -> str:
    sign = "+" if found.difference > 0 else ""
    line = (
        f"{found.telegram_id}: {rules.money(found.wanted or 0)} in the source, {rules.money(found.after)} booked: "
        f"{sign}{rules.money(found.difference)}"
    )
    return line if found.refused is None else f"{line}; cannot be booked ({found.refused})"


def _compare(booker: Booker, order: Order, totals: Totals, total: _Sum) -> bool:
    """The sums of the source and of the ledger, which is asked once more."""
    money = order.rules.money
    ledger = total.after if order.dry else booker.ledger_sum()
    click.echo(f"source   {money(totals.balance)}")
    click.echo(f"ledger   {money(ledger)}")
    if ledger != total.after:
        click.echo(f"         {money(ledger - total.after)} of it for people who are not in the source")
    if total.differ:
        hint = "" if order.settle or total.differ == total.refused else ". --settle books what changed"
        click.echo(f"differ   {total.differ:,} people{hint}")
        return False
    click.echo("differ   nobody")
    return True


def _audit(settings: Settings) -> bool:
    findings = audit(settings.require("database_url"), settings.ballast_schema)
    passes = all(finding.ok for finding in findings)
    lines = report(findings)
    click.echo(f"audit    {lines.splitlines()[-1]}" if passes else lines)
    return passes
