"""What people are told of payments by providers beside Telegram."""

from __future__ import annotations

from html import escape as escape_html

from ballast.builtin.providers import RecordProviderPayment
from ballast.command_names import joined
from ballast.providers.orders import Order
from ballast.providers.provider import Provider
from ballast.texts import gettext
from ballast.texts.formats import amount
from ballast.texts.phrases import escape, money
from dbcore.ledger.provider_payments import ProviderOutcome
from dbcore.settings import Settings
from dbcore.text import one_line


def title(order: Order, settings: Settings) -> str:
    """Of the checkout, as its payer reads it at the provider."""
    return amount(order.amount, settings.currency_exponent, settings.currency)


def checkout(order: Order, provider: Provider, url: str, settings: Settings) -> str:
    """Where it is paid."""
    pay = gettext(
        "Pay {price} by {provider}:",
        price=f"<b>{amount(order.price, provider.exponent, provider.currency)}</b>",
        provider=escape(provider.title),
    )
    adds = gettext("Adds {amount} to your balance.", amount=money(order.amount, settings))
    return f"{pay}\n{escape_html(url)}\n\n{adds}"


def unanswered(provider: Provider) -> str:
    return gettext(
        "{provider} did not answer. Please try again in a few minutes.", provider=escape(provider.title)
    )


def refused(provider: Provider) -> str:
    return gettext(
        "{provider} does not take this amount. Please choose another one.", provider=escape(provider.title)
    )


def booked(
    job: RecordProviderPayment, outcome: ProviderOutcome, provider: Provider | None, settings: Settings
) -> str:
    """The receipt of what this job credited, took back, or both."""
    lines, after = [], outcome.balance or 0
    if outcome.credited:
        received = gettext(
            "We received your payment of {price}.", price=f"<b>{_price(job, job.paid, provider)}</b>"
        )
        added = gettext("{amount} was added to your balance.", amount=money(outcome.credited, settings))
        lines.append(joined(received, added))
    if outcome.taken:
        price = f"<b>{_price(job, job.refunded, provider)}</b>"
        refunded = (
            gettext("Your payment of {price} was refunded.", price=price)
            if job.refunded == job.paid
            else gettext("{price} of your payment was refunded.", price=price)
        )
        taken = gettext("{amount} was taken from your balance.", amount=money(outcome.taken, settings))
        lines.append(joined(refunded, taken))
    if after < 0:
        owed = money(-after, settings)
        lines.append(
            gettext("You owe {amount}. Whatever your account receives pays that first.", amount=owed)
        )
    else:
        lines.append(gettext("Your balance is {amount}.", amount=money(after, settings)))
    lines.append(gettext("Receipt number: {number}", number=f"<code>{job.provider}-{outcome.number}</code>"))
    return "\n".join(lines)


def debt_alarm(
    job: RecordProviderPayment, order: Order, debt: int, provider: Provider | None, settings: Settings
) -> str:
    """For the admins: a refund took back what was spent."""
    owes = gettext(
        "{user} was refunded {price}, had spent it, and owes {amount}.",
        user=gettext("User {id}", id=f"<code>{order.telegram_id}</code>"),
        price=_price(job, job.refunded, provider),
        amount=money(debt, settings),
    )
    return f"{owes}\n{_payment(job)}"


def contradiction(job: RecordProviderPayment, provider: Provider | None) -> str:
    """For the admins: what was told before and now differs."""
    told = gettext(
        "{provider} reported a payment of {price} that contradicts what it said before. The first report was kept, "
        "and nothing was booked.",
        provider=_title(job, provider),
        price=_price(job, job.paid, provider),
    )
    return f"{told}\n{_payment(job)}"


def not_as_asked(job: RecordProviderPayment, order: Order, provider: Provider | None) -> str:
    """For the admins: the checkout asked for something else."""
    told = gettext(
        "{provider} reported a payment of {price} by {user}, which is not what its checkout asked for. No balance has "
        "changed.",
        provider=_title(job, provider),
        price=_price(job, job.paid, provider),
        user=gettext("User {id}", id=f"<code>{order.telegram_id}</code>"),
    )
    return f"{told}\n{_payment(job)}"


def _title(job: RecordProviderPayment, provider: Provider | None) -> str:
    return escape(job.provider if provider is None else provider.title)


def _payment(job: RecordProviderPayment) -> str:
    return gettext("Charge ID: {id}", id=f"<code>{escape(one_line(job.payment_id))}</code>")


def _price(job: RecordProviderPayment, minor_units: int, provider: Provider | None) -> str:
    if provider is None or provider.currency != job.paid_currency:
        return gettext(
            "{count} of the smallest units of {currency}",
            count=minor_units,
            currency=escape(job.paid_currency),
        )
    return amount(minor_units, provider.exponent, provider.currency)
