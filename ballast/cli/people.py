"""`ballast user|users|transfers`: who somebody is, what happened, and lists of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ballast.cli.commands import (
    REFUSED,
    TIMES,
    Command,
    as_json,
    in_utc,
    open_database,
    print_json,
    say_if_none,
)
from ballast.texts import gettext, ngettext, said

if TYPE_CHECKING:
    from ballast.operators.csv_text import Table
    from dbcore.people.lists import Page
    from dbcore.settings import Settings

as_csv = click.option("--csv", "as_csv", is_flag=True, help="Print all of them as CSV, of any number.")
since = click.option(
    "--since", type=TIMES, metavar="TIME", help="Only from this time on, in UTC, such as 2026-11-27."
)
until = click.option("--until", type=TIMES, metavar="TIME", help="Only before this time.")
limit = click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many to print."
)
before = click.option("--before", type=int, metavar="CURSOR", help="Go on where the last page ended.")
amount_min = click.option("--min", "amount_min", metavar="AMOUNT", help="Only of at least this much.")
amount_max = click.option("--max", "amount_max", metavar="AMOUNT", help="Only of at most this much.")


@click.command(cls=Command)
@click.argument("text", metavar="WHOM")
@click.option("--kind", help="Only movements of this kind, such as transfer, credit, reversal.")
@click.option("--direction", type=click.Choice(["in", "out"]), help="Only what came in, or went out.")
@click.option("--memo", help="Only movements with this in their memo.")
@since
@until
@limit
@before
@as_csv
@as_json
@click.pass_context
def user(ctx: click.Context, /, *, text: str, as_csv: bool, as_json: bool, **wanted: Any) -> None:
    """Show somebody: their balance, what happened, what waits, and what failed and why.

    WHOM is a name, @username, Telegram ID, the number of a transfer (123 or #123), a job's reference, an idempotency
    key, or a payment's charge.
    """
    from ballast.cli import people_output as output
    from ballast.people import finding
    from dbcore.people.search import FOUND_MAX
    from dbcore.redis_client import connect_redis

    engine, settings = open_database()
    with connect_redis(settings) as client:
        found = finding.find(engine, client, text)
        if not found:
            nobody = gettext("nobody is found by {text}", text=repr(text))
            click.echo(f"ballast: {nobody}", err=True)
            ctx.exit(REFUSED)
        exact = [each for each in found if each.by != "name"]
        if len(exact or found) > 1:
            people = [each.person for each in (exact or found)]
            if as_json:
                print_json([output.person_as_json(person) for person in people])
                return
            which = (
                ngettext(
                    "{text} is {count} person; name one of them by @username or ID:",
                    "{text} is {count} people; name one of them by @username or ID:",
                    len(people),
                    text=text,
                )
                if len(people) < FOUND_MAX
                else ngettext(
                    "{text} is {count} person or more; name one of them by @username or ID:",
                    "{text} is {count} people or more; name one of them by @username or ID:",
                    len(people),
                    text=text,
                )
            )
            click.echo(which, err=True)
            for person in people:
                click.echo(output.person_line(person, settings))
            ctx.exit(REFUSED)
        person = (exact or found)[0].person
        shown = output.Card(engine, client, settings, person)
        if as_csv:
            shown.print_csv(_filters(settings, **wanted))
        elif as_json:
            print_json(shown.as_json(_filters(settings, **wanted), wanted["limit"], wanted["before"]))
        else:
            shown.print(_filters(settings, **wanted), wanted["limit"], wanted["before"])


@click.command(cls=Command)
@click.option(
    "--status", type=click.Choice(["active", "blocked", "deactivated"]), help="Only of this status."
)
@click.option("--frozen/--not-frozen", default=None, help="Only frozen accounts, or only others.")
@click.option("--language", metavar="TAG", help="Only of this language, such as de.")
@click.option("--joined-since", type=TIMES, metavar="TIME", help="Only who came from this time on.")
@click.option("--seen-since", type=TIMES, metavar="TIME", help="Only who wrote from this time on.")
@click.option("--seen-until", type=TIMES, metavar="TIME", help="Only who wrote last before this time.")
@amount_min
@amount_max
@limit
@before
@as_csv
@as_json
def users(*, as_csv: bool, as_json: bool, limit: int, before: int | None, **wanted: Any) -> None:
    """List users, the newest first. --min and --max are about their balances."""
    from ballast.cli import people_output as output
    from ballast.people.tables import users_table
    from dbcore.people import lists

    engine, settings = open_database()
    filters = lists.UserFilters(
        balance_min=_amount(settings, wanted.pop("amount_min")),
        balance_max=_amount(settings, wanted.pop("amount_max")),
        **in_utc(wanted),
    )

    def page(cursor: int | None, limit: int) -> Page[Any]:
        return lists.users(engine, before=cursor, limit=limit, filters=filters)

    _print(
        page,
        before,
        limit,
        table=users_table(settings) if as_csv else None,
        line=lambda person: output.person_line(person, settings),
        json=output.person_as_json if as_json else None,
    )


@click.command(cls=Command)
@click.option("--kind", help="Only of this kind, such as transfer, credit, debit, reversal.")
@click.option("--status", type=click.Choice(["applied", "rejected"]), help="Only those, or only others.")
@amount_min
@amount_max
@since
@until
@limit
@before
@as_csv
@as_json
def transfers(*, as_csv: bool, as_json: bool, limit: int, before: int | None, **wanted: Any) -> None:
    """List transfers, the newest first."""
    from ballast.cli import people_output as output
    from ballast.people.tables import transfers_table
    from dbcore.people import lists

    engine, settings = open_database()
    filters = lists.TransferFilters(
        amount_min=_amount(settings, wanted.pop("amount_min")),
        amount_max=_amount(settings, wanted.pop("amount_max")),
        **in_utc(wanted),
    )

    def page(cursor: int | None, limit: int) -> Page[Any]:
        return lists.transfers(engine, before=cursor, limit=limit, filters=filters)

    _print(
        page,
        before,
        limit,
        table=transfers_table(settings) if as_csv else None,
        line=lambda transfer: output.transfer_line(transfer, settings),
        json=output.transfer_as_json if as_json else None,
    )


def _print(
    page: Callable[[int | None, int], Page[Any]],
    before: int | None,
    limit: int,
    *,
    table: Table[Any] | None,
    line: Callable[[Any], str],
    json: Callable[[Any], Any] | None,
) -> None:
    from ballast.people.tables import PAGE

    if table is not None:
        click.echo(table.head(), nl=False)
        at = before
        while True:
            rows = page(at, PAGE)
            click.echo(table.rows(rows.items), nl=False)
            at = rows.next_before
            if at is None:
                return
    items: list[Any] = []
    cursor = before
    while True:  # a page may be empty, and not the last one
        found = page(cursor, limit - len(items))
        items += found.items
        cursor = found.next_before
        if cursor is None or len(items) >= limit:
            break
    if json is not None:
        print_json({"items": [json(item) for item in items], "next_before": cursor})
        return
    say_if_none(items, gettext("Nothing matches."))
    for item in items:
        click.echo(line(item))
    if cursor is not None:
        click.echo(gettext("more: {option}", option=f"--before {cursor}"), err=True)


def _amount(settings: Settings, text: str | None) -> int | None:
    from dbcore.money import AmountError, parse_amount

    if text is None:
        return None
    try:
        return parse_amount(text, settings.currency_exponent, settings.currency)
    except AmountError as error:
        raise click.UsageError(said(error)) from None


def _filters(settings: Settings, *, limit: int, before: int | None, **wanted: Any) -> Any:
    from dbcore.people.movements import Filters

    return Filters(**in_utc(wanted))
