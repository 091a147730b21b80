"""`ballast reconcile`: Telegram's book of Stars, or what another provider lists, against the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import REFUSED, Command, as_json, print_json
from ballast.cli.provider_reconciling import compare, differences_open, require_known, say_accepted, standing
from ballast.texts import gettext, ngettext
from ballast.texts.columns import right

if TYPE_CHECKING:
    from ballast.reconciling.record import Finished
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.star_book import Difference, Movement


@click.command(cls=Command)
@click.option("--csv", "as_csv", is_flag=True, help="Print all differences as CSV.")
@click.option("--show", is_flag=True, help="Read nothing: show what the last reading left.")
@click.option("--accept", multiple=True, metavar="CHARGE_ID", help="Take these differences as they are.")
@click.option("--accept-all", is_flag=True, help="Take all open differences as they are.")
@click.option("--provider", metavar="NAME", help="Compare payments by this provider instead, such as stripe.")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    help="With --provider: how far back.",
)
@as_json
@click.pass_context
def reconcile(
    ctx: click.Context,
    *,
    provider: str | None,
    days: int,
    as_csv: bool,
    show: bool,
    accept: Sequence[str],
    accept_all: bool,
    as_json: bool,
) -> None:
    """Compare Telegram's book of Stars with the ledger, and book what is missing.

    All of Telegram's transactions are read, from where a reading was broken off. Payments and refunds that the ledger
    lacks are given to the workers. Exit status 1 if other differences are open.
    """
    if provider is not None:
        is_settled = compare(
            provider,
            days=days,
            show=show,
            accept=accept,
            accept_all=accept_all,
            as_csv=as_csv,
            as_json=as_json,
        )
        if not is_settled:
            ctx.exit(REFUSED)
        return
    from ballast.apps.discovery import installed
    from ballast.cli.commands import open_database
    from ballast.queueing import outbox_relay
    from ballast.reconciling import reconciler
    from dbcore.breaker.override import user_here
    from dbcore.ledger import star_book
    from dbcore.redis_client import connect_redis

    installed()  # or options of theirs would be taken for misspelt ones
    engine, settings = open_database()
    with connect_redis(settings) as client:
        if not (show or accept or accept_all):
            reconciler.run(settings, engine, client)
            outbox_relay.ask_from_outside(settings)
        found = star_book.differences(engine)
        if accept or accept_all:
            chosen = [each for each in found if accept_all or each.charge_id in accept]
            require_known(accept, {each.charge_id for each in chosen})
            say_accepted(
                star_book.accept(engine, [each for each in chosen if not each.is_bookable], user_here())
            )
            found = star_book.differences(engine)
        try:
            finished = reconciler.look_again(engine, client)
        except LookupError as nothing:
            unread = gettext("no reading was finished yet: run `{command}`", command="ballast reconcile")
            raise click.ClickException(unread) from nothing
    _print(engine, finished, found, as_csv=as_csv, as_json=as_json)
    if finished.open > finished.bookable:
        ctx.exit(REFUSED)


def _print(
    engine: GuardedEngine, finished: Finished, found: Sequence[Difference], *, as_csv: bool, as_json: bool
) -> None:
    from ballast.operators.csv_text import csv_text
    from ballast.reconciling import record
    from dbcore.ledger import star_book

    if as_csv:
        click.echo(csv_text(record.COLUMNS, map(record.described, found)), nl=False)
        return
    movements = star_book.movements(engine)
    if as_json:
        print_json(
            {
                **asdict(finished),
                "differences": [record.described(each) for each in found],
                "movements": [asdict(each) for each in movements],
            }
        )
        return
    for line in _lines(finished, found, movements):
        click.echo(line)


def _lines(finished: Finished, found: Sequence[Difference], movements: Sequence[Movement]) -> Iterable[str]:
    from dbcore.text import one_line

    yield ngettext(
        "{count} transaction; Telegram's balance is {balance} Stars",
        "{count} transactions; Telegram's balance is {balance} Stars",
        finished.transactions,
        balance=_stars(finished.stars, finished.nanostars),
    )
    for each in movements:
        sign = "-" if each.is_outgoing else "+"
        times = ngettext("{count} time", "{count} times", each.count)
        yield f"{each.purpose:<22} {sign}{_stars(each.stars, each.nanostars):>14}  {right(times, 14)}"
    for difference in found:
        state = standing(difference.accepted_by, is_bookable=difference.is_bookable)
        theirs, ours = (
            gettext("none") if stars is None else _stars(stars, nanostars or 0)
            for stars, nanostars in (
                (difference.their_stars, difference.their_nanostars),
                (difference.our_stars, 0),
            )
        )
        both = gettext("{name} {theirs}, ledger {ours}", name="Telegram", theirs=theirs, ours=ours)
        yield f"{difference.kind}  {one_line(difference.charge_id)}  {both}  {state}"
    yield (
        differences_open(finished.open) if finished.open else gettext("Telegram's book and the ledger agree")
    )


def _stars(stars: int, nanostars: int) -> str:
    from ballast.texts.formats import decimals, number

    if not nanostars:
        return number(stars)
    return number(stars) + decimals(abs(nanostars) / 10**9, 9).rstrip("0")[1:]
