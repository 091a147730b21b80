"""`ballast exchange`: the rates at which people exchange, and what the bot has for it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, key_option, yes_option
from ballast.cli.commands import REFUSED, Command, Group, open_database, require_agreement
from ballast.texts import gettext, said

if TYPE_CHECKING:
    from dbcore.currencies import Currency
    from dbcore.settings import Settings

_OFF = "off"


@click.group(cls=Group)
def exchange() -> None:
    """Exchange between currencies: show and set rates, and how far an account may fall below zero."""


@exchange.command(cls=Command)
def show() -> None:
    """The rates in force, by whom and since when, and what the accounts `exchange` have."""
    from dbcore.ledger import exchanges
    from dbcore.money import format_amount

    engine, settings = open_database()
    for each in exchanges.rates(engine):
        at = _OFF if each.rate is None else f"{each.rate} {each.got}"
        set_at = each.set_at.astimezone().isoformat(timespec="seconds")
        by = gettext("by {actor} at {time}", actor=each.actor, time=set_at)
        click.echo(f"1 {each.given} = {at}  {by}")
    for account in exchanges.accounts(engine):
        each_in = settings.in_currency(account.currency)
        has, least = (
            format_amount(minor, each_in.currency_exponent, each_in.currency)
            for minor in (account.balance, account.floor)
        )
        click.echo(gettext("{account}: {has}, not below {least}", account="exchange", has=has, least=least))


@exchange.command(cls=Command)
@click.argument("given", metavar="GIVEN")
@click.argument("got", metavar="GOT")
@click.argument("rate", metavar="RATE")
@click.option("--reason", default="", help="Why. It is in the audit log.")
@key_option
@yes_option
def rate(*, given: str, got: str, rate: str, reason: str, key: str | None, yes: bool) -> None:
    """Set the units of GOT for one unit of GIVEN, such as `EUR CREDIT 1.10`; `off` ends the exchange. The other
    direction has a rate of its own. Questions that wait at another rate are refused.
    """
    from dbcore.ledger import exchanges

    engine, settings = open_database()
    pair = _known(given, settings), _known(got, settings)
    units = _units(rate)
    at = gettext("not exchanged any more") if units is None else f"{units} {pair[1].code}"
    require_agreement([f"1 {pair[0].code} = {at}"], gettext("Set it?"), yes=yes)
    action = act_of(reason, key).logged_as("exchange.rate", f"{pair[0].code} {pair[1].code}")
    try:
        done = exchanges.set_rate(engine, action, given=pair[0], got=pair[1], rate=units)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(gettext("done") if done else gettext("done before"))


@exchange.command(cls=Command)
@click.argument("amount", metavar="AMOUNT")
@click.option("--reason", default="", help="Why. It is in the audit log.")
@key_option
@click.pass_context
def floor(ctx: click.Context, *, amount: str, reason: str, key: str | None) -> None:
    """Let the account `exchange` of a currency fall so far below zero, such as `"500 EUR"`; `"0 EUR"` is what it begins
    with. Move money to it by `ballast books --move "500 EUR" house exchange`.
    """
    from dbcore.ledger import exchanges
    from dbcore.money import AmountError, parse_money

    engine, settings = open_database()
    try:
        number, _, code = amount.strip().rpartition(" ")
        if number.strip() == "0":
            minor, currency = 0, _known(code, settings).code
        else:
            money = parse_money(amount, settings.known_currencies)
            minor, currency = money.minor, money.currency.code
    except AmountError as error:
        raise click.UsageError(said(error)) from error
    action = act_of(reason, key).logged_as("exchange.floor", currency)
    if not exchanges.set_floor(engine, action, currency=currency, floor=-minor):
        refused = gettext("nothing was changed: the account is below that now")
        click.echo(f"ballast: {refused}", err=True)
        ctx.exit(REFUSED)
    click.echo(gettext("done"))


def _known(word: str, settings: Settings) -> Currency:
    found = settings.known_currencies.meant_by(word)
    if found is None:
        raise click.UsageError(
            gettext("expected one of {words}, got {got}", words=settings.known_currencies, got=repr(word))
        )
    return found


def _units(text: str) -> Decimal | None:
    if text == _OFF:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        raise click.UsageError(
            gettext("expected a rate such as 1.10, or {off}, got {got}", off=_OFF, got=repr(text))
        ) from None
