"""What `ballast import` prints while it reads a source, books it, compares the sums and audits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from ballast.apps.discovery import installed
from ballast.operators.auditing import audit_with_apps
from dbcore.guard.engine import GuardedEngine
from dbcore.importing import reading
from dbcore.importing.batches import MOVEMENTS_MAX, PEOPLE_MAX
from dbcore.importing.booked_transfers import Sources, find_sources, ledger_sum
from dbcore.importing.booking import Booked, Booker
from dbcore.importing.reading import Columns, Rules
from dbcore.importing.sources import SourceError, open_source
from dbcore.importing.spool import Spool, Totals
from dbcore.importing.undoing import Undoer
from dbcore.ledger.audit import report
from dbcore.money import format_amount
from dbcore.settings import Settings
from dbcore.text import one_line

SHOWN_MAX = 1_000
"""Lines of one kind that are printed; the rest are counted."""

IGNORED_LENGTH_MAX = 100
SOURCES_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """source -- its name. where, query -- its address. history, history_query -- a file with movements, or a query on
    the same database.

    skip_invalid -- import the rest if lines are invalid. settle -- book what has changed since. dry -- only say it.
    new_source -- nothing of this source is booked yet, although something of others is.
    """

    source: str
    where: str
    rules: Rules
    query: str | None = None
    history: str | None = None
    history_query: str | None = None
    skip_invalid: bool = False
    settle: bool = False
    new_source: bool = False
    dry: bool = False


def run_import(engine: GuardedEngine, settings: Settings, options: ImportOptions) -> bool:
    """Whether every line was valid, everybody has booked what the source has for them, and the audit passes.

    Raises SourceError, and what GuardedEngine.call raises. What was booked by then is booked; another run goes on.
    """
    with Spool() as spool:
        invalid, columns = _read(options, spool)
        refused = bool(invalid) and not options.skip_invalid
        if refused and not options.dry:
            click.echo("Nothing was imported: correct these lines or use --skip-invalid")
            return False
        if not invalid and spool.totals().people == 0:
            click.echo("no people in the source")
            return False
        sources = find_sources(engine, options.source)
        mistyped = _mistyped(options, columns, sources)
        if mistyped is not None and not options.dry:
            raise SourceError(mistyped)
        agrees = _book(engine, options, spool, columns, sources)
    if refused:
        click.echo("Nothing would be imported: correct these lines or use --skip-invalid")
    if mistyped is not None:
        click.echo(f"Nothing would be imported: {mistyped}")
    return (options.dry or _audit(settings)) and agrees and not invalid and mistyped is None


def _mistyped(options: ImportOptions, columns: Columns, sources: Sources) -> str | None:
    """A mistyped name would credit everybody a second time."""
    if not columns.has_balances or options.new_source or sources.is_known or not sources.others:
        return None
    known = ", ".join(sources.others[:SOURCES_SHOWN])
    return (
        f"--source: nothing is booked for {options.source}, but for {known}. Use the name of the run before, or "
        "--new-source if these balances are to be added"
    )


def undo(engine: GuardedEngine, settings: Settings, source: str, *, dry: bool) -> bool:
    """Whether no transfer of the source is left that is not reversed, and the audit passes."""

    def money(units: int) -> str:
        return format_amount(units, settings.currency_exponent, settings.currency)

    undoer = Undoer(engine, source, dry=dry)
    found = transfers = people = amount = 0
    spent = _Lines()
    with _progress("Looking up" if dry else "Undoing", undoer.last) as advance:
        for position, of_source, batch in undoer.run():
            found += of_source
            for undone in batch:
                if undone.refused is not None:
                    spent.add(
                        f"{undone.telegram_id}: {money(undone.amount)} cannot be booked ({undone.refused}); "
                        f"the balance is {money(undone.balance)}"
                    )
                    continue
                people += 1
                transfers += undone.transfers
                amount += undone.amount
            advance(position)
    if found == 0:
        click.echo(f"There is no transfer of the source {source}.")
        return False
    spent.end()
    click.echo(
        f"{'to reverse' if dry else 'reversed'}  {_count(transfers, 'transfer')} of "
        f"{_count(people, 'person', 'people')}, {money(amount)} in total"
    )
    return (dry or _audit(settings)) and spent.count == 0


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


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


def _read(options: ImportOptions, spool: Spool) -> tuple[int, Columns]:
    """How many values are invalid, and what the source has."""
    invalid = _Lines()
    with (
        open_source(options.where, options.query) as people,
        _progress("Reading people", people.size) as advance,
    ):
        columns = reading.read_people(people, options.rules, spool, invalid.add, advance)
    has_history = options.history is not None or options.history_query is not None
    if columns.lacks_mapped_id and not has_history:
        raise reading.missing_id(options.rules)
    if has_history and not columns.has_balances:
        raise SourceError(
            "a history needs a column balance of the people, which it leads to. Name yours by --map balance=YOURS"
        )
    if has_history:
        with (
            open_source(options.history or options.where, options.history_query) as movements,
            _progress("Reading history", movements.size) as advance,
        ):
            reading.read_history(movements, options.rules, spool, invalid.add, advance, people=columns)
    invalid.end()
    return invalid.count, columns


@dataclass(slots=True)
class _Sum:
    """Over the people of the source."""

    new: int = 0
    transfers: int = 0
    openings: int = 0
    booked: int = 0
    after: int = 0
    earlier: int = 0
    different: int = 0
    refused: int = 0

    def add(self, found: Booked) -> None:
        self.new += found.is_new
        self.after += found.after
        self.earlier += found.earlier
        self.different += found.difference != 0
        if found.refused is not None:
            self.refused += 1
        else:
            self.transfers += found.transfers
            self.openings += found.openings
            self.booked += found.amount


def _book(
    engine: GuardedEngine, options: ImportOptions, spool: Spool, columns: Columns, sources: Sources
) -> bool:
    """Whether everybody has booked what the source has for them."""
    shared = spool.drop_shared_usernames()
    totals = spool.totals()
    booker = Booker(
        engine,
        options.source,
        settle=options.settle,
        dry=options.dry,
        usernames=columns.has_usernames,
        earlier=sources.is_first,
    )
    total, differences, done = _Sum(), _Lines(), 0
    with _progress("Looking up" if options.dry else "Booking", totals.people) as advance:
        for people, movements in spool.batches(PEOPLE_MAX, MOVEMENTS_MAX):
            for found in booker.book(people, movements):
                total.add(found)
                if found.difference:
                    differences.add(_difference(found, options.rules))
            done += len(people)
            advance(done)
    differences.end()
    money, dry = options.rules.money, options.dry
    click.echo(f"people   {totals.people:,} ({total.new:,} {'would be ' if dry else ''}new)")
    if shared:
        click.echo(
            f"         {shared:,} without their username, which the source gives to more than one person"
        )
    if totals.owed:
        owing = f"{_count(totals.negative, 'person owes', 'people owe')} {money(totals.owed)}"
        click.echo(f"         {owing}; {'would be ' if dry else ''}imported with 0")
    if columns.ignored:
        click.echo(f"ignored  {one_line(', '.join(columns.ignored), IGNORED_LENGTH_MAX)}")
    if not columns.has_balances:
        click.echo("balances none in the source")
        return True
    click.echo(
        f"{'to book ' if dry else 'booked  '} {_count(total.transfers, 'transfer')} "
        f"({_count(total.openings, 'opening balance')}), {money(total.booked)} in total"
    )
    return _compare(engine, options, totals, total)


def _difference(found: Booked, rules: Rules) -> str:
    line = (
        f"{found.telegram_id}: {rules.money(found.wanted or 0)} in the source, {rules.money(found.after)} booked: "
        f"{rules.difference(found.difference)}"
    )
    return line if found.refused is None else f"{line}; cannot be booked ({found.refused})"


def _compare(engine: GuardedEngine, options: ImportOptions, totals: Totals, total: _Sum) -> bool:
    """The sums of the source and of the ledger, which is asked once more."""
    money = options.rules.money
    ledger = total.after if options.dry else ledger_sum(engine, options.source) + total.earlier
    click.echo(f"source   {money(totals.balance)}")
    click.echo(f"ledger   {money(ledger)}")
    if total.earlier:
        click.echo(f"         {money(total.earlier)} of it booked before under keys such as opening:12345")
    if ledger != total.after:
        click.echo(f"         {money(ledger - total.after)} of it for people who are not in the source")
    if total.different:
        hint = "" if options.settle or total.different == total.refused else "; --settle books them"
        click.echo(f"differences  {_count(total.different, 'person', 'people')}{hint}")
        return False
    click.echo("differences  none")
    return True


def _audit(settings: Settings) -> bool:
    findings = audit_with_apps(settings, installed().apps, full=True)
    passes = all(finding.ok for finding in findings)
    lines = report(findings)
    click.echo(f"audit    {lines.splitlines()[-1]}" if passes else lines)
    return passes
