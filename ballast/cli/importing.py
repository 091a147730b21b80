"""`ballast import`: another bot's users and balances."""

from __future__ import annotations

from datetime import tzinfo

import click
from click.core import ParameterSource

from ballast.cli.commands import REFUSED, Command, open_database
from ballast.texts import gettext


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
    metavar="COLUMN=YOURS",
    help="How the source calls a column; without YOURS the column is left out.",
)
@click.option("--minor", is_flag=True, help="Amounts are in minor units, such as cents.")
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="Time zone of times that have none, such as Europe/Berlin.",
)
@click.option(
    "--negative-as-zero", is_flag=True, help="Import negative balances as 0; otherwise they are invalid."
)
@click.option("--skip-invalid", is_flag=True, help="Leave invalid lines out; otherwise nothing is imported.")
@click.option(
    "--new-source", is_flag=True, help="This source is new, although another one was imported before."
)
@click.option("--settle", is_flag=True, help="Book what has changed in the source since it was imported.")
@click.option("--undo", is_flag=True, help="Undo the import: reverse all transfers of this source.")
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
    minor: bool,
    zone: str,
    negative_as_zero: bool,
    skip_invalid: bool,
    new_source: bool,
    settle: bool,
    undo: bool,
    dry_run: bool,
) -> None:
    """Import another bot's users and balances.

    SOURCE is a file that ends in .csv, .tsv, .jsonl or .ndjson, or the URL of a database. Without it --query asks
    DATABASE_URL.

    \b
    People     telegram_id, balance, username, first_name, language_code, registered_at,
               status (active, blocked, banned or deactivated), broadcasts_stopped
    Movements  id, telegram_id, amount, made_at, memo

    Of people only telegram_id is required; of movements all but memo. The command can be run any number of times:
    what is booked stays, and what is missing is booked.

    Exit status: 0 if the ledger agrees with the source, 1 if it does not or a line is invalid.
    """
    if undo and _given(ctx) - {"source", "undo", "dry_run"}:
        raise click.UsageError(gettext("--undo goes only with --source and --dry-run"))
    if not undo and where is None and query is None:
        raise click.UsageError(
            gettext("expected SOURCE, or --query for the database of DATABASE_URL; got neither")
        )
    if history is not None and history_query is not None:
        raise click.UsageError(gettext("expected one of --history and --history-query; got both"))
    if history_query is not None and query is None:
        raise click.UsageError(gettext("--history-query asks the same database as --query; got no --query"))
    mapped = _mapped(names)
    time_zone = _zone(zone)

    from ballast.apps.discovery import installed
    from ballast.cli import import_report
    from dbcore.importing.booking import require_source_name
    from dbcore.importing.reading import Rules

    require_source_name(source)
    installed()  # or options of theirs would be taken for misspelt ones
    engine, settings = open_database()
    if undo:
        agrees = import_report.undo(engine, settings, source, dry=dry_run)
    else:
        options = import_report.ImportOptions(
            source=source,
            where=where or settings.require("database_url"),
            query=query,
            history=history,
            history_query=history_query,
            rules=Rules(
                exponent=settings.currency_exponent,
                currency=settings.currency,
                names=mapped,
                minor=minor,
                zone=time_zone,
                negative_as_zero=negative_as_zero,
            ),
            skip_invalid=skip_invalid,
            settle=settle,
            new_source=new_source,
            dry=dry_run,
        )
        agrees = import_report.run_import(engine, settings, options)
    if not agrees:
        ctx.exit(REFUSED)


def _given(ctx: click.Context) -> set[str]:
    """Parameters that the command line has."""
    return {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}


def _mapped(names: tuple[str, ...]) -> dict[str, str | None]:
    mapped: dict[str, str | None] = {}
    for name in names:
        column, equals, theirs = name.partition("=")
        if not equals:
            raise click.UsageError(gettext("--map: expected COLUMN=YOURS; got {text}", text=repr(name)))
        mapped[column.strip()] = theirs.strip() or None
    return mapped


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise click.UsageError(
            gettext("--zone: expected a time zone such as Europe/Berlin; got {text}", text=repr(name))
        ) from None
