"""Paying in with Telegram Stars, as far as it needs no database: packages, invoices, and which payments may be made."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from html import escape
from typing import Any

from ballast.apps.command_names import called
from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data, star_invoices
from ballast.builtin.payments import RecordPayment
from ballast.builtin.providers import AskCheckout
from ballast.builtin.replies import DeliverReply
from ballast.builtin.star_invoices import GOOD_FOR_SECONDS, StarInvoice
from ballast.chat.origins import Origin
from ballast.jobs import Job
from ballast.messages import Button, Invoice, Message
from ballast.providers import installed
from ballast.providers.provider import Provider
from ballast.subscriptions import chat_texts, invoices
from ballast.texts import gettext, ngettext
from ballast.texts import said as translated
from ballast.texts.formats import amount
from dbcore.currencies import STARS, STARS_MAX
from dbcore.money import AmountError, parse_amount
from dbcore.settings import Settings

_NUMBER = re.compile(r"(?P<stars>[1-9][0-9]{0,4})(?P<as_link>\s+link)?", re.ASCII | re.IGNORECASE)


def takes_payments(settings: Settings) -> bool:
    """Not if an app does what is reported of payments: then they are the app's."""
    return star_invoices.are_on(settings) and INSTALLED.handlers[RecordPayment.kind].replaced_by is None


def off() -> str:
    return gettext("This bot does not accept payments yet. You have not been charged.")


def asks(said: str, settings: Settings) -> bool:
    """Whether packages are the answer to `/deposit <said>`: also to what may have meant a provider."""
    return not said or (_NUMBER.fullmatch(said) is None and bool(_providers(settings)))


def packages(origin: Origin, telegram_id: int, settings: Settings) -> list[Message]:
    buttons = [
        [Button(text=f"{stars} ⭐ · {_worth(stars, settings)}", data=button_data.deposit(telegram_id, stars))]
        for stars in settings.star_packages
    ]
    buttons += [
        [
            Button(
                text=amount(minor, settings.currency_exponent, settings.currency) + f" · {provider.title}",
                data=button_data.checkout(telegram_id, name, minor),
            )
        ]
        for name, provider in _providers(settings).items()
        for minor in settings.pay_amounts
    ]
    return origin.privately(_asked(settings), buttons, opens="deposit")


def _asked(settings: Settings) -> str:
    by_stars = f"{called('deposit')} {settings.star_packages[0]}"
    for name, provider in _providers(settings).items():
        return gettext(
            "How much do you want to pay? You can also write {by_stars} for Telegram Stars, or {by_provider} for "
            "{provider}.",
            by_stars=by_stars,
            by_provider=f"{called('deposit')} {name} {settings.pay_packages.partition(',')[0]}",
            provider=escape(provider.title, quote=False),
        )
    return gettext(
        "How many Telegram Stars do you want to pay? You can also write {command}.", command=by_stars
    )


def invoice_of(said: str, origin: Origin, settings: Settings) -> list[Message]:
    """The invoice of so many Stars, or what is wrong with the number. `50 link`: a link that anybody can pay."""
    written = _NUMBER.fullmatch(said)
    stars = int(written["stars"]) if written else 0
    if not 1 <= stars <= STARS_MAX:
        wrong = gettext(
            "Write a whole number of Telegram Stars from 1 to {most}, such as {example}.",
            most=STARS_MAX,
            example=f"{called('deposit')} {settings.star_packages[0]}",
        )
        return origin.privately(wrong, opens="deposit")
    worth = star_invoices.worth(stars, settings)
    if worth is None:
        wrong = gettext(
            "So many Stars are no whole amount of {currency}.", currency=escape(settings.currency)
        )
        return origin.privately(wrong, opens="deposit")
    promised = StarInvoice(stars, worth, settings.currency, int(time.time()) + GOOD_FOR_SECONDS)
    invoice = Invoice(
        title=ngettext("{count} Telegram Star", "{count} Telegram Stars", stars)[:32],
        stars=stars,
        payload=star_invoices.write(promised, settings),
        link_in=_link_to(worth, stars, settings) if written and written["as_link"] else None,
    )
    described = gettext("Adds {amount} to your balance.", amount=escape(_worth(stars, settings), quote=False))
    message, *others = origin.privately(described, opens="deposit")
    return [message.model_copy(update={"invoice": invoice}), *others]


def checkout_of(said: str, sender: Mapping[str, Any], origin: Origin, settings: Settings) -> Job | None:
    """`stripe 12.50`: the job that makes the checkout, or says what is wrong with the amount; None if no provider is
    named.

    sender -- the fields of a UserJob.
    """
    name, _, written = said.partition(" ")
    if name.lower() not in _providers(settings):
        return None
    try:
        minor = parse_amount(written, settings.currency_exponent, settings.currency)
    except AmountError as error:
        example = f"<code>{called('deposit')} {name.lower()} {settings.pay_packages.partition(',')[0]}</code>"
        return deliver(origin.privately(f"{translated(error)} {example}", opens="deposit"))
    return AskCheckout(**sender, provider=name.lower(), amount=minor)


def _providers(settings: Settings) -> dict[str, Provider]:
    """None if an app switched checkouts off."""
    return installed.providers(settings) if INSTALLED.has_button("checkout") else {}


def _link_to(worth: int, stars: int, settings: Settings) -> str:
    return (
        gettext(
            "Whoever opens this link within 24 hours can pay {stars} and is credited {amount}:",
            stars=ngettext("{count} Telegram Star", "{count} Telegram Stars", stars),
            amount=escape(amount(worth, settings.currency_exponent, settings.currency), quote=False),
        )
        + "\n{link}"
    )


def deliver(messages: list[Message]) -> DeliverReply:
    return DeliverReply(messages=tuple(messages))


def refusal(query: Mapping[str, Any], settings: Settings) -> str | None:
    """Why the payment that Telegram asks about may not take place; None if it may.

    Who pays may be another person than who asked for the invoice: whoever pays is credited.
    """
    if not takes_payments(settings):
        return off()
    if invoices.said_in(str(query.get("invoice_payload"))) is not None:
        return _refusal_of_subscription(query, settings)
    invoice = star_invoices.read(str(query.get("invoice_payload")), settings)
    is_as_written = invoice is not None and (query.get("currency"), query.get("total_amount")) == (
        STARS,
        invoice.stars,
    )
    if invoice is None or not is_as_written or invoice.currency != settings.currency:
        return gettext(
            "This invoice is not valid. You have not been charged. Send {command} for a new one.",
            command=called("deposit"),
        )
    if time.time() > invoice.until:
        return gettext(
            "This invoice has expired. You have not been charged. Send {command} for a new one.",
            command=called("deposit"),
        )
    return None


def _refusal_of_subscription(query: Mapping[str, Any], settings: Settings) -> str | None:
    """Telegram asks before the first payment, and not before renewals."""
    plan = invoices.on_offer(str(query.get("invoice_payload")), settings)
    if plan is None or (query.get("currency"), query.get("total_amount")) != (STARS, plan.stars):
        return chat_texts.not_on_offer()
    return None


def _worth(stars: int, settings: Settings) -> str:
    return amount(star_invoices.worth(stars, settings) or 0, settings.currency_exponent, settings.currency)
