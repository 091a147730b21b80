"""`ballast books`: the balance sheet, daily totals, and transfers between system accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import REFUSED, Command, as_json, print_json
from ballast.texts import gettext, said

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import Settings

DAYS = 31


@click.command(cls=Command)
@click.option(
    "--days", type=click.IntRange(1, 3_660), help=f"Show the totals of so many UTC days, such as {DAYS}."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--move",
    nargs=3,
    metavar="AMOUNT FROM TO",
    help="Move an amount between two system accounts, by a transfer of now. Needs --key.",
)
@click.option("--key", help="With --move: the same key moves it once.")
@click.option("--memo", default="", help="With --move: what it is for.")
@as_json
@click.pass_context
def books(
    ctx: click.Context,
    *,
    days: int | None,
    as_csv: bool,
    move: tuple[str, str, str] | None,
    key: str | None,
    memo: str,
    as_json: bool,
) -> None:
    """Show the balance sheet: what all users have, and the system accounts that are the other side of it.

    \b
    opening        balances that were imported
    stars          payments in Telegram Stars
    adjustments    what admins and operators credited and debited
    house          what programs did
    promo, provider_fees   what you move there by --move
    payouts        what withdrawals paid out
    exchange       what the bot has for exchanges between currencies
    """
    from ballast.apps.discovery import installed
    from ballast.cli.commands import open_database

    if (move is None) != (key is None):
        raise click.UsageError(gettext("--move and --key go together"))
    installed()  # or options of theirs would be taken for misspelt ones
    engine, settings = open_database()
    if move is not None and key is not None:
        _move(ctx, engine, settings, move, key, memo)
        return
    _show(engine, settings, days, as_csv=as_csv, as_json=as_json)


def _move(
    ctx: click.Context,
    engine: GuardedEngine,
    settings: Settings,
    move: tuple[str, str, str],
    key: str,
    memo: str,
) -> None:
    from dbcore import keys
    from dbcore.breaker.override import user_here
    from dbcore.ledger import books as ledger_books
    from dbcore.money import AmountError, parse_money

    text, from_, to = move
    try:
        keys.require_of_job(key)
        money = parse_money(text, settings.known_currencies)
        done = ledger_books.reclassify(
            engine,
            key=key,
            from_=from_,
            to=to,
            amount=money.minor,
            currency=money.currency.code,
            memo=memo,
            actor=f"operator:{user_here()}",
        )
    except AmountError as error:
        raise click.UsageError(said(error)) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if done.reason is not None:
        refused = gettext("nothing was moved: {reason}", reason=done.reason)
        click.echo(f"ballast: {refused}", err=True)
        ctx.exit(REFUSED)
    click.echo(gettext("{status}: transfer {number}", status=done.status, number=str(done.transfer_id)))


def _show(
    engine: GuardedEngine, settings: Settings, days: int | None, *, as_csv: bool, as_json: bool
) -> None:
    from ballast.operators import books_rows
    from ballast.operators.csv_text import csv_text
    from dbcore.ledger import books as ledger_books

    def decimals_of(currency: str) -> int:
        return settings.in_currency(currency).currency_exponent

    columns: Sequence[str] = books_rows.SHEET_COLUMNS
    if days is not None:
        columns = books_rows.DAYS_COLUMNS
        rows = books_rows.day_rows(ledger_books.daily_totals(engine, days), decimals_of)
    else:
        rows = books_rows.sheet_rows(ledger_books.balance_sheet(engine), decimals_of)
    if as_json:
        print_json(rows)
    elif as_csv:
        click.echo(csv_text(columns, rows), nl=False)
    else:
        for row in rows:
            click.echo("  ".join(f"{row[name]!s:>14}" for name in columns).rstrip())
        if not rows:
            click.echo(gettext("Nothing is booked."))
