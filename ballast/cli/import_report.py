"""What `ballast import` prints while it reads a source, books it, compares the sums and audits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from ballast.apps.discovery import installed
from ballast.cli.audit_text import report
from ballast.operators.auditing import audit_with_apps
from ballast.texts import gettext, ngettext, pgettext, said
from ballast.texts.columns import left
from ballast.texts.formats import number
from dbcore.guard.engine import GuardedEngine
from dbcore.importing import reading
from dbcore.importing.batches import MOVEMENTS_MAX, PEOPLE_MAX
from dbcore.importing.booked_transfers import Sources, find_sources, ledger_sum
from dbcore.importing.booking import Booked, Booker
from dbcore.importing.reading import Columns, Rules
from dbcore.importing.sources import SourceError, open_source
from dbcore.importing.spool import Spool, Totals
from dbcore.importing.undoing import Undoer
from dbcore.money import format_amount
from dbcore.sentences import Sentence
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
            click.echo(gettext("Nothing was imported: correct these lines or use --skip-invalid"))
            return False
        if not invalid and spool.totals().people == 0:
            click.echo(gettext("no people in the source"))
            return False
        sources = find_sources(engine, options.source)
        mistyped = _mistyped(options, columns, sources)
        if mistyped is not None and not options.dry:
            raise SourceError(mistyped)
        agrees = _book(engine, options, spool, columns, sources)
    if refused:
        click.echo(gettext("Nothing would be imported: correct these lines or use --skip-invalid"))
    if mistyped is not None:
        click.echo(gettext("Nothing would be imported: {reason}", reason=mistyped))
    return (options.dry or _audit(settings)) and agrees and not invalid and mistyped is None


def _mistyped(options: ImportOptions, columns: Columns, sources: Sources) -> str | None:
    """A mistyped name would credit everybody a second time."""
    if not columns.has_balances or options.new_source or sources.is_known or not sources.others:
        return None
    known = ", ".join(sources.others[:SOURCES_SHOWN])
    return gettext(
        "--source: nothing is booked for {source}, but for {known}. Use the name of the run before, or --new-source "
        "if these balances are to be added",
        source=options.source,
        known=known,
    )


def undo(engine: GuardedEngine, settings: Settings, source: str, *, dry: bool) -> bool:
    """Whether no transfer of the source is left that is not reversed, and the audit passes."""

    def money(units: int) -> str:
        return format_amount(units, settings.currency_exponent, settings.currency)

    undoer = Undoer(engine, source, dry=dry)
    found = transfers = people = amount = 0
    spent = _Lines()
    with _progress(gettext("Looking up") if dry else gettext("Undoing"), undoer.last) as advance:
        for position, of_source, batch in undoer.run():
            found += of_source
            for undone in batch:
                if undone.refused is not None:
                    refused = gettext(
                        "{person}: {amount} cannot be booked ({reason}); the balance is {balance}",
                        person=str(undone.telegram_id),
                        amount=money(undone.amount),
                        reason=undone.refused,
                        balance=money(undone.balance),
                    )
                    spent.add(refused)
                    continue
                people += 1
                transfers += undone.transfers
                amount += undone.amount
            advance(position)
    if found == 0:
        click.echo(gettext("There is no transfer of the source {source}.", source=source))
        return False
    spent.end()
    label = pgettext("import", "to reverse") if dry else pgettext("import", "reversed")
    reversed_ = gettext(
        "{transfers} of {people}, {amount} in total",
        transfers=_transfers(transfers),
        people=_people(people),
        amount=money(amount),
    )
    click.echo(f"{label}  {reversed_}")
    return (dry or _audit(settings)) and spent.count == 0


def _transfers(count: int) -> str:
    return ngettext("{count} transfer", "{count} transfers", count)


def _people(count: int) -> str:
    return ngettext("{count} person", "{count} people", count)


def _row(label: str, words: str) -> str:
    """label -- of the first column; nothing goes on with the row before."""
    return f"{left(label, 8)} {words}"


class _Lines:
    """Lines of one kind: the first ones are printed at once, all are counted."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, line: Sentence | str) -> None:
        self.count += 1
        if self.count <= SHOWN_MAX:
            click.echo(said(line))

    def end(self) -> None:
        if self.count > SHOWN_MAX:
            click.echo(gettext("and {count} more", count=self.count - SHOWN_MAX))


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
        _progress(gettext("Reading people"), people.size) as advance,
    ):
        columns = reading.read_people(people, options.rules, spool, invalid.add, advance)
    has_history = options.history is not None or options.history_query is not None
    if columns.lacks_mapped_id and not has_history:
        raise reading.missing_id(options.rules)
    if has_history and not columns.has_balances:
        raise SourceError(
            gettext(
                "a history needs a column balance of the people, which it leads to. Name yours by --map balance=YOURS"
            )
        )
    if has_history:
        with (
            open_source(options.history or options.where, options.history_query) as movements,
            _progress(gettext("Reading history"), movements.size) as advance,
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
    label = gettext("Looking up") if options.dry else gettext("Booking")
    with _progress(label, totals.people) as advance:
        for people, movements in spool.batches(PEOPLE_MAX, MOVEMENTS_MAX):
            for found in booker.book(people, movements):
                total.add(found)
                if found.difference:
                    differences.add(_difference(found, options.rules))
            done += len(people)
            advance(done)
    differences.end()
    _say_people(options, columns, totals, new=total.new, shared=shared)
    if not columns.has_balances:
        click.echo(_row(pgettext("import", "balances"), gettext("none in the source")))
        return True
    booked = gettext(
        "{transfers} ({openings}), {amount} in total",
        transfers=_transfers(total.transfers),
        openings=ngettext("{count} opening balance", "{count} opening balances", total.openings),
        amount=options.rules.money(total.booked),
    )
    label = pgettext("import", "to book") if options.dry else pgettext("import", "booked")
    click.echo(_row(label, booked))
    return _compare(engine, options, totals, total)


def _say_people(options: ImportOptions, columns: Columns, totals: Totals, *, new: int, shared: int) -> None:
    """new -- of them, how many have no account. shared -- how many share their username with somebody."""
    people, dry = number(totals.people), options.dry
    if dry:
        counted = gettext("{people} ({new} would be new)", people=people, new=new)
    else:
        counted = gettext("{people} ({new} new)", people=people, new=new)
    click.echo(_row(pgettext("import", "people"), counted))
    if shared:
        without = gettext(
            "{count} without their username, which the source gives to more than one person", count=shared
        )
        click.echo(_row("", without))
    if totals.owed:
        owing = ngettext(
            "{count} person owes {amount}",
            "{count} people owe {amount}",
            totals.negative,
            amount=options.rules.money(totals.owed),
        )
        if dry:
            as_zero = gettext("{owing}; would be imported with 0", owing=owing)
        else:
            as_zero = gettext("{owing}; imported with 0", owing=owing)
        click.echo(_row("", as_zero))
    if columns.ignored:
        names = one_line(", ".join(columns.ignored), IGNORED_LENGTH_MAX)
        click.echo(_row(pgettext("import", "ignored"), names))


def _difference(found: Booked, rules: Rules) -> str:
    line = gettext(
        "{person}: {wanted} in the source, {booked} booked: {difference}",
        person=str(found.telegram_id),
        wanted=rules.money(found.wanted or 0),
        booked=rules.money(found.after),
        difference=rules.difference(found.difference),
    )
    if found.refused is None:
        return line
    return gettext("{difference}; cannot be booked ({reason})", difference=line, reason=found.refused)


def _compare(engine: GuardedEngine, options: ImportOptions, totals: Totals, total: _Sum) -> bool:
    """The sums of the source and of the ledger, which is asked once more."""
    money = options.rules.money
    ledger = total.after if options.dry else ledger_sum(engine, options.source) + total.earlier
    click.echo(_row(pgettext("import", "source"), money(totals.balance)))
    click.echo(_row(pgettext("import", "ledger"), money(ledger)))
    if total.earlier:
        before = gettext(
            "{amount} of it booked before under keys such as {key}",
            amount=money(total.earlier),
            key="opening:12345",
        )
        click.echo(_row("", before))
    if ledger != total.after:
        others = gettext(
            "{amount} of it for people who are not in the source", amount=money(ledger - total.after)
        )
        click.echo(_row("", others))
    differences = pgettext("import", "differences")
    click.echo(f"{differences}  {_differing(options, total)}")
    return total.different == 0


def _differing(options: ImportOptions, total: _Sum) -> str:
    if not total.different:
        return pgettext("import", "none")
    if options.settle or total.different == total.refused:
        return _people(total.different)
    return gettext("{people}; {option} books them", people=_people(total.different), option="--settle")


def _audit(settings: Settings) -> bool:
    findings = audit_with_apps(settings, installed().apps, full=True)
    passes = all(finding.ok for finding in findings)
    lines = report(findings)
    click.echo(_row(pgettext("import", "audit"), lines.splitlines()[-1]) if passes else lines)
    return passes
