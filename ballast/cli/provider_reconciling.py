"""`ballast reconcile --provider`: what a provider lists of payments against the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import open_database, print_json
from ballast.texts import gettext, ngettext

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
        raise click.ClickException(gettext("no provider {name} is set up", name=name))
    with connect_redis(settings) as client:
        if not (show or accept or accept_all):
            try:
                reconciling.run(settings, engine, client, provider, days=days)
            except (ProviderError, *GARBAGE) as error:
                told = f"{type(error).__name__}: {error}"
                bad = gettext("{name} gave no good answer: {error}", name=name, error=told)
                raise click.ClickException(bad) from error
            outbox_relay.ask_from_outside(settings)
        found = provider_book.differences(engine, name)
        if accept or accept_all:
            chosen = [each for each in found if accept_all or each.payment_id in accept]
            require_known(accept, {each.payment_id for each in chosen})
            chosen = [each for each in chosen if not each.is_bookable]
            say_accepted(provider_book.accept(engine, name, chosen, user_here()))
            found = provider_book.differences(engine, name)
        compared = reconciling.look_again(engine, client, name)
    _print(compared, found, as_csv=as_csv, as_json=as_json)
    return compared.open <= compared.bookable


def require_known(accept: Sequence[str], known: set[str]) -> None:
    """Raises ClickException for what was to be accepted, and is no difference."""
    if unknown := {*accept} - known:
        names = ", ".join(sorted(unknown))
        raise click.ClickException(gettext("there is no difference of {names}", names=names))


def say_accepted(count: int) -> None:
    click.echo(ngettext("{count} accepted", "{count} accepted", count), err=True)


def standing(accepted_by: str | None, *, is_bookable: bool) -> str:
    """How far a difference is, in words."""
    from dbcore.text import one_line

    if accepted_by is not None:
        return gettext("accepted by {name}", name=one_line(accepted_by))
    return gettext("is being booked") if is_bookable else gettext("open")


def differences_open(count: int) -> str:
    return ngettext("{count} difference is open", "{count} differences are open", count)


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
        yield gettext("Nothing that {name} lists was read yet", name=compared.provider)
    else:
        payments = ngettext(
            "{count} payment by {name}",
            "{count} payments by {name}",
            compared.payments,
            name=compared.provider,
        )
        handed_in = ngettext("{count} was handed in", "{count} were handed in", compared.handed_in)
        yield f"{payments}; {handed_in}"
    for each in found:
        state = standing(each.accepted_by, is_bookable=each.is_bookable)
        theirs = _paid(each.their_amount, each.their_refunded, each.currency)
        ours = _paid(each.our_amount, each.our_refunded, each.currency)
        known = f"{each.kind}  {one_line(each.payment_id)}"
        both = gettext("{name} {theirs}, ledger {ours}", name=compared.provider, theirs=theirs, ours=ours)
        yield f"{known}  {both}  {state}"
    if compared.open:
        yield differences_open(compared.open)
    else:
        yield gettext("What {name} lists and the ledger agree", name=compared.provider)


def _paid(amount: int | None, refunded: int | None, currency: str | None) -> str:
    """In the smallest units of the provider's currency."""
    from ballast.texts.formats import number

    if amount is None:
        return gettext("none")
    paid = f"{number(amount)} {currency or ''}".rstrip()
    return gettext("{amount}, {back} refunded", amount=paid, back=refunded) if refunded else paid
