"""What people read of exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ballast.apps.command_names import called, joined, mention
from ballast.texts import gettext, ngettext, said
from ballast.texts.formats import amount
from ballast.texts.phrases import money
from dbcore.ledger.exchanges import EXPIRES_AFTER_SECONDS, Rate
from dbcore.outcomes import ExchangeDecisionOutcome, ExchangeOutcome, RejectionReason
from dbcore.people.reasons import in_words
from dbcore.settings import Settings

_MINUTES = int(EXPIRES_AFTER_SECONDS // 60)


def one_currency() -> str:
    return gettext("This bot has one currency, so there is nothing to exchange.")


def usage(rates: Sequence[Rate]) -> str:
    """With the rates in force."""
    lines = [rate(each.given, each.got, each.rate) for each in rates if each.rate is not None]
    if not lines:
        return gettext("Nothing can be exchanged at the moment.")
    first = rates[0]
    example = f"{called('exchange')} 5 {first.given} {first.got}"
    return "\n".join([gettext("Write it like this: {example}", example=example), *lines])


def rate(given: str, got: str, units: Decimal) -> str:
    """`1 EUR = 1.10 CREDIT`."""
    exponent = units.as_tuple().exponent
    digits = max(0, -exponent) if isinstance(exponent, int) else 0
    return f"1 {given} = {amount(int(units.scaleb(digits)), digits, got)}"


def question(outcome: ExchangeOutcome, settings: Settings) -> str:
    assert outcome.rate is not None and outcome.got_amount is not None  # noqa: S101  else it is refused
    at = rate(outcome.given_currency, outcome.got_currency, outcome.rate)
    within = ngettext("Confirm within {count} minute.", "Confirm within {count} minutes.", _MINUTES)
    asked = gettext(
        "Exchange {given} for {got}?",
        given=_money(outcome.given_amount, outcome.given_currency, settings),
        got=_money(outcome.got_amount, outcome.got_currency, settings),
    )
    return "\n".join([asked, gettext("Rate: {rate}", rate=at), f"<i>{within}</i>"])


def done(outcome: ExchangeDecisionOutcome, settings: Settings) -> str:
    assert outcome.given_amount is not None and outcome.got_amount is not None  # noqa: S101
    assert outcome.given_balance is not None and outcome.got_balance is not None  # noqa: S101
    exchanged = gettext(
        "Exchanged {given} for {got}.",
        given=_money(outcome.given_amount, outcome.given_currency, settings),
        got=_money(outcome.got_amount, outcome.got_currency, settings),
    )
    left = _money(outcome.given_balance, outcome.given_currency, settings)
    has = _money(outcome.got_balance, outcome.got_currency, settings)
    return "\n".join(
        [exchanged, *(gettext("Your balance is {amount}.", amount=each) for each in (left, has))]
    )


def cancelled() -> str:
    return gettext("Cancelled. Nothing was changed.")


def refused(outcome: ExchangeOutcome | ExchangeDecisionOutcome, settings: Settings) -> str:
    match outcome.reason:
        case RejectionReason.NO_RATE:
            return gettext(
                "I do not exchange {given} for {got}.", given=outcome.given_currency, got=outcome.got_currency
            )
        case RejectionReason.RATE_CHANGED:
            return joined(
                gettext("The rate has changed. Nothing was exchanged."),
                mention("exchange", "Send {command} again to see the new one."),
            )
        case RejectionReason.EXPIRED:
            return ngettext(
                "Too late: the rate was held for {count} minute. Nothing was exchanged.",
                "Too late: the rate was held for {count} minutes. Nothing was exchanged.",
                _MINUTES,
            )
        case RejectionReason.AMOUNT_TOO_SMALL:
            return gettext("This is too little to be exchanged.")
        case RejectionReason.EXCHANGE_SHORT:
            return gettext(
                "I do not have enough {currency} to exchange that now. Nothing was exchanged.",
                currency=outcome.got_currency,
            )
        case RejectionReason.INSUFFICIENT_FUNDS if isinstance(outcome, ExchangeOutcome):
            available = _money(max(0, outcome.available or 0), outcome.given_currency, settings)
            return gettext("You do not have that much. Available: {amount}", amount=available)
        case RejectionReason.INSUFFICIENT_FUNDS:
            return gettext("Your balance is now too low for this. Nothing was exchanged.")
        case RejectionReason.ACCOUNT_FROZEN:
            return gettext("Your account is frozen. Nothing was taken from your balance.")
        case RejectionReason.ALREADY_CONFIRMED:
            return gettext("This was already confirmed, and was done once.")
        case None | RejectionReason.ALREADY_CANCELLED:
            return gettext("This was already cancelled. Nothing was changed.")
        case reason:
            return said(in_words(reason))


def _money(minor: int, currency: str | None, settings: Settings) -> str:
    return money(minor, settings.in_currency(currency))
