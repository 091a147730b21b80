"""`ballast import`: another bot's people and balances."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import click

from ballast.cli.commands import REFUSED, Command, open_database

if TYPE_CHECKING:
    from dbcore.engine import GuardedEngine
    from dbcore.importing.reading import Rules
    from dbcore.importing.spool import Spool, Totals
    from dbcore.settings import Settings

SHOWN_MAX = 1_000
"""Lines of one kind that are printed; the rest are counted."""


@click.command("import", cls=Command)
@click.argument("where", required=False, metavar="[SOURCE]")
@click.option("--source", required=True, metavar="NAME", help="What to call the source; part of every key.")
@click.option("--query", metavar="SQL", help="The people, if SOURCE is a database.")
@click.option("--history", metavar="FILE", help="Movements of the balances, from a file.")
@click.option("--history-query", metavar="SQL", help="Movements of the balances, from the same database.")
@click.option(
    "--map",
    "names",
    multiple=True,
    metavar="COLUMN=YOURS...",
    help="How the source calls a column; empty: leave it out.",
)
@click.option("--minor", is_flag=True, help="Amounts are in minor units, such as cents.")
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="Time zone of times that have none, such as Europe/Berlin.",
)
@click.option(
    "--negative-as-zero", is_flag=True, help="Bring negative balances as 0; otherwise they are errors."
)
@click.option("--skip-invalid", is_flag=True, help="Leave invalid lines out; otherwise nothing is imported.")
@click.option("--settle", is_flag=True, help="Book what has changed in the source since it was imported.")
@click.option("--undo", is_flag=True, help="Reverse every transfer of this source.")
@click.option(
    "--dry-run", is_flag=True, help="Change nothing; print what would be done, and what is invalid."
)
@click.pass_context
def import_(
    ctx: click.Context,
    /,
    *,
    where: str | None,
    source: str,
    query: str | None,
    history: str | None,
    history_query: str | None,
    names: tuple[str, ...],
    zone: str,
    undo: bool,
    settle: bool,
    dry_run: bool,
    skip_invalid: bool,
    **reading: bool,
) -> None:
    """Bring another bot's people and balances.

    SOURCE is a .csv or .jsonl file, or the URL of a database; without it --query asks DATABASE_URL.

    \b
    People     telegram_id, balance, username, first_name, language_code, registered_at,
               status (active, blocked, banned, deactivated), broadcasts_stopped
    Movements  id, telegram_id, amount, made_at, memo

    Only telegram_id is required, and all of a movement but its memo. Run it any number of times: what is booked
    stays, and only what is missing is added. docs/import.md has examples.

    Exit status: 0 if the ledger has what the source has, 1 if not or if a line is invalid.
    """
    if undo and (where or query or history or history_query or settle):
        raise click.UsageError("--undo goes only with --source and --dry-run")
    if not undo and where is None and query is None:
        raise click.UsageError("expected SOURCE, or --query for the database of DATABASE_URL; got neither")
    if history is not None and history_query is not None:
        raise click.UsageError("expected one of --history and --history-query; got both")
    mapped = _mapped(names)

    from dbcore.importing.booking import require_source_name

    require_source_name(source)
    engine, settings = open_database()
    if undo:
        complete = _undo(engine, settings, source, dry=dry_run)
    else:
        from dbcore.importing.reading import Rules
        from dbcore.importing.spool import Spool

        rules = Rules(
            exponent=settings.currency_exponent,
            currency=settings.currency,
            names=mapped,
            zone=_zone(zone),
            minor=reading["minor"],
            negative_as_zero=reading["negative_as_zero"],
        )
        address = where or settings.require("database_url")
        with Spool() as spool:
            invalid, has_balances = _read(address, query, history, history_query, rules, spool)
            if invalid and not skip_invalid and not dry_run:
                click.echo("Nothing is imported. Correct these lines, or leave them out by --skip-invalid.")
                ctx.exit(REFUSED)
            complete = _book(
                engine, rules, source, spool, settle=settle, dry=dry_run, has_balances=has_balances
            )
        complete = complete and not invalid
    if not dry_run:
        complete = _audit(settings) and complete
    if not complete:
        ctx.exit(REFUSED)


def _mapped(names: tuple[str, ...]) -> dict[str, str | None]:
    from dbcore.importing.reading import MOVEMENT_COLUMNS, PERSON_COLUMNS

    columns = tuple(dict.fromkeys((*PERSON_COLUMNS, *MOVEMENT_COLUMNS)))
    mapped: dict[str, str | None] = {}
    for name in names:
        column, equals, theirs = name.partition("=")
        if not equals or column not in columns:
            raise click.UsageError(
                f"--map: expected COLUMN=YOURS with one of {', '.join(columns)}; got {name!r}"
            )
        mapped[column] = theirs or None
    return mapped


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise click.UsageError(f"--zone: expected a time zone such as Europe/Berlin; got {name!r}") from None


class _Lines:
    """Lines of one kind: the first ones are printed at once, all are counted."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, line: str) -> None:
        self.count += 1
        if self.count <= SHOWN_MAX:
            click.echo(line)

    def end(self) -> int:
        if self.count > SHOWN_MAX:
            click.echo(f"and {self.count - SHOWN_MAX:,} more")
        return self.count


@contextmanager
def _progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time that is left, on a terminal. What it gives takes the position, from 0 to `length`."""
    length = max(length, 1)
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:

        def advance(position: int) -> None:
            if position - bar.pos >= length // 500:
                bar.update(position - bar.pos)

        yield advance


def _read(
    where: str, query: str | None, history: str | None, history_query: str | None, rules: Rules, spool: Spool
) -> tuple[int, bool]:
    """How many lines are invalid, and whether the source has balances."""
    from dbcore.importing import reading
    from dbcore.importing.sources import open_source

    wrong = _Lines()
    with open_source(where, query) as people, _progress("Reading people", people.size) as advance:
        has_balances = reading.read_people(people, rules, spool, wrong.add, advance)
    if history is not None or history_query is not None:
        with (
            open_source(history or where, history_query) as movements,
            _progress("Reading history", movements.size) as advance,
        ):
            reading.read_history(movements, rules, spool, wrong.add, advance)
    return wrong.end(), has_balances


def _book(
    engine: GuardedEngine,
    rules: Rules,
    source: str,
    spool: Spool,
    *,
    settle: bool,
    dry: bool,
    has_balances: bool,
) -> bool:
    """Whether everybody has booked what the source has for them."""
    from dbcore.importing.booking import BATCH, Booker
    from dbcore.importing.values import money

    shared = spool.drop_shared_usernames()
    totals = spool.totals()
    booker = Booker(engine, source, settle=settle, dry=dry)
    new = booked = openings = amount = after = refused = 0
    differences = _Lines()
    done = 0
    with _progress("Would book" if dry else "Booking", totals.people) as advance:
        for people in spool.batches(BATCH):
            movements = spool.movements(people[0].telegram_id, people[-1].telegram_id)
            for found in booker.book(people, movements):
                new += found.is_new
                after += found.after
                if found.refused is not None:
                    refused += 1
                    differences.add(
                        f"{found.telegram_id}: {rules.money(found.amount)} cannot be booked ({found.refused})"
                    )
                    continue
                booked += found.transfers
                openings += found.openings
                amount += found.amount
                if found.difference:
                    differences.add(
                        f"{found.telegram_id}: {rules.money(found.wanted or 0)} in the source, "
                        f"{rules.money(found.after)} booked: "
                        f"{money(found.difference, rules.exponent, rules.currency)}"
                    )
            done += len(people)
            advance(done)
    differences.end()
    would = "would be " if dry else ""
    click.echo(f"people   {totals.people:,}, of them {new:,} {would}new")
    if shared:
        click.echo(f"         {shared:,} without their username, which the source gives to several")
    if totals.owed:
        click.echo(
            f"         {totals.negative:,} with a negative balance, {rules.money(-totals.owed)}, {would}brought as 0"
        )
    if not has_balances:
        click.echo("balances none in the source")
        return True
    click.echo(
        f"booked   {booked:,} transfers{' would be' if dry else ''}, of them {openings:,} opening balances; "
        f"together {rules.money(amount)}"
    )
    return _compare(booker, rules, totals, after, differences.count, refused, dry=dry, settle=settle)


def _compare(
    booker: Any,
    rules: Rules,
    totals: Totals,
    after: int,
    differing: int,
    refused: int,
    *,
    dry: bool,
    settle: bool,
) -> bool:
    """The sums of the source and of the ledger, which is asked once more."""
    ledger = after if dry else booker.ledger_sum()
    click.echo(f"source   {rules.money(totals.balance)}")
    click.echo(f"ledger   {rules.money(ledger)}")
    if ledger != after:
        click.echo(f"         {rules.money(ledger - after)} of it for people who are not in the source now")
    if differing:
        hint = "" if settle or differing == refused else ". --settle books the differences"
        click.echo(f"The balances of {differing:,} people differ{hint}.")
        return False
    if after != totals.balance:
        raise AssertionError(f"nobody differs, but {after} was booked of {totals.balance}")
    click.echo("Every balance agrees with the source.")
    return True


def _undo(engine: GuardedEngine, settings: Settings, source: str, *, dry: bool) -> bool:
    """Whether nothing is left of what the source brought."""
    from dbcore.importing.undoing import Undoer
    from dbcore.money import format_amount

    def money(units: int) -> str:
        return format_amount(units, settings.currency_exponent, settings.currency)

    undoer = Undoer(engine, source, dry=dry)
    transfers = people = amount = done = 0
    spent = _Lines()
    with _progress("Would undo" if dry else "Undoing", undoer.total) as advance:
        for looked_at, batch in undoer.run():
            for found in batch:
                if found.refused is not None:
                    spent.add(
                        f"{found.telegram_id}: {money(found.amount)} cannot be taken back ({found.refused}): "
                        f"they have {money(found.balance)}"
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
    return spent.count == 0


def _audit(settings: Settings) -> bool:
    from dbcore.audit import audit, report

    findings = audit(settings.require("database_url"), settings.ballast_schema)
    passes = all(finding.ok for finding in findings)
    lines = report(findings)
    click.echo(f"audit    {lines.splitlines()[-1]}" if passes else lines)
    return passes
