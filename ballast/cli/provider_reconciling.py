"""`ballast reconcile --provider`: what a provider lists of payments against the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import open_database, print_json

if TYPE_CHECKING:
    from ballast.reconciling.provider_record import Compared
    from dbcore.ledger.provider_book import ProviderDifference


def compare(
    name: str, *, days: int, show: bool, accept: Sequence[str], accept_all: bool, as_csv: bool, as_json: bool
) -> bool:
    """Read its list, or only show or accept what the last reading left; whether nothing is left to look into."""
    from ballast.apps.discovery import installed
    from ballast.providers import installed as providers
    from ballast.providers.provider import GARBAGE, ProviderError
    from ballast.queueing import outbox_relay
    from ballast.reconciling import providers as reconciling
    from dbcore.breaker.override import user_here
    from dbcore.ledger import provider_book
    from dbcore.redis_client import connect_redis

    installed()  # or options of theirs would be taken for misspelt ones
    engine, settings = open_database()
    provider = providers.providers(settings).get(name)
    if provider is None:
        raise click.ClickException(f"no provider {name} is set up")
    with connect_redis(settings) as client:
        if not (show or accept or accept_all):
            try:
                reconciling.run(settings, engine, client, provider, days=days)
            except (ProviderError, *GARBAGE) as error:
                told = f"{type(error).__name__}: {error}"
                raise click.ClickException(f"{name} gave no good answer: {told}") from error
            outbox_relay.ask_from_outside(settings)
        found = provider_book.differences(engine, name)
        if accept or accept_all:
            chosen = [each for each in found if accept_all or each.payment_id in accept]
            require_known(accept, {each.payment_id for each in chosen})
            chosen = [each for each in chosen if not each.is_bookable]
            click.echo(f"{provider_book.accept(engine, name, chosen, user_here()):,} accepted", err=True)
            found = provider_book.differences(engine, name)
        compared = reconciling.look_again(engine, client, name)
    _print(compared, found, as_csv=as_csv, as_json=as_json)
    return compared.open <= compared.bookable


def require_known(accept: Sequence[str], known: set[str]) -> None:
    """Raises ClickException for what was to be accepted, and is no difference."""
    if unknown := {*accept} - known:
        raise click.ClickException(f"there is no difference of {', '.join(sorted(unknown))}")


def _print(compared: Compared, found: Sequence[ProviderDifference], *, as_csv: bool, as_json: bool) -> None:
    from ballast.operators.csv_text import csv_text
    from ballast.reconciling import provider_record

    described = [provider_record.described(compared.provider, each) for each in found]
    if as_csv:
        click.echo(csv_text(provider_record.COLUMNS, described), nl=False)
    elif as_json:
        print_json({**asdict(compared), "differences": described})
    else:
        for line in _lines(compared, found):
            click.echo(line)


def _lines(compared: Compared, found: Sequence[ProviderDifference]) -> Iterable[str]:
    from dbcore.text import one_line

    if compared.at is None:
        yield f"Nothing that {compared.provider} lists was read yet"
    else:
        yield f"{compared.payments:,} payments by {compared.provider}; {compared.handed_in:,} were handed in"
    for each in found:
        state = "is being booked" if each.is_bookable else "open"
        if each.accepted_by is not None:
            state = f"accepted by {one_line(each.accepted_by)}"
        theirs = _paid(each.their_amount, each.their_refunded, each.currency)
        ours = _paid(each.our_amount, each.our_refunded, each.currency)
        known = f"{each.kind}  {one_line(each.payment_id)}"
        yield f"{known}  {compared.provider} {theirs}, ledger {ours}  {state}"
    agree = f"What {compared.provider} lists and the ledger agree"
    yield f"{compared.open:,} differences are open" if compared.open else agree


def _paid(amount: int | None, refunded: int | None, currency: str | None) -> str:
    """In the smallest units of the provider's currency."""
    if amount is None:
        return "none"
    back = f", {refunded:,} refunded" if refunded else ""
    return f"{amount:,} {currency or ''}".rstrip() + back
