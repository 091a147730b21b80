"""What people are told of payments by providers beside Telegram."""

from __future__ import annotations

from html import escape as escape_html

from ballast.apps.command_names import joined
from ballast.builtin.providers import RecordProviderDispute, RecordProviderPayment
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
    lines.append(_stands(after, settings))
    lines.append(gettext("Receipt number: {number}", number=f"<code>{job.provider}-{outcome.number}</code>"))
    return "\n".join(lines)


def disputed(payment_id: str, taken: int, balance: int, settings: Settings) -> str:
    """For the payer. taken -- below zero: given back."""
    if taken > 0:
        lines = [
            gettext(
                "Your bank has taken back a payment to us. {amount} was taken from your balance until that is "
                "decided.",
                amount=money(taken, settings),
            )
        ]
    else:
        lines = [
            gettext(
                "The dispute about a payment of yours is over. {amount} was added to your balance.",
                amount=money(-taken, settings),
            )
        ]
    return "\n".join([*lines, _stands(balance, settings), _payment(payment_id)])


def dispute_alarm(
    job: RecordProviderPayment | RecordProviderDispute,
    payer: int,
    taken: int,
    balance: int,
    provider: Provider | None,
    settings: Settings,
) -> str:
    """For the admins."""
    told = gettext(
        "The bank of {user} disputes a payment by {provider}. {amount} was taken from their balance, which is "
        "{balance} now. Answer the dispute at the provider.",
        user=gettext("User {id}", id=f"<code>{payer}</code>"),
        provider=_title(job.provider, provider),
        amount=money(taken, settings),
        balance=money(balance, settings),
    )
    return f"{told}\n{_payment(job.payment_id)}"


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
    return f"{owes}\n{_payment(job.payment_id)}"


def contradiction(job: RecordProviderPayment | RecordProviderDispute, provider: Provider | None) -> str:
    """For the admins: what was told before and now differs."""
    told = gettext(
        "{provider} reported a payment of {price} that contradicts what it said before. The first report was kept, "
        "and nothing was booked.",
        provider=_title(job.provider, provider),
        price=_price(job, job.disputed if isinstance(job, RecordProviderDispute) else job.paid, provider),
    )
    return f"{told}\n{_payment(job.payment_id)}"


def not_as_asked(job: RecordProviderPayment, order: Order, provider: Provider | None) -> str:
    """For the admins: the checkout asked for something else."""
    told = gettext(
        "{provider} reported a payment of {price} by {user}, which is not what its checkout asked for. No balance has "
        "changed.",
        provider=_title(job.provider, provider),
        price=_price(job, job.paid, provider),
        user=gettext("User {id}", id=f"<code>{order.telegram_id}</code>"),
    )
    return f"{told}\n{_payment(job.payment_id)}"


def _stands(balance: int, settings: Settings) -> str:
    if balance < 0:
        owed = money(-balance, settings)
        return gettext("You owe {amount}. Whatever your account receives pays that first.", amount=owed)
    return gettext("Your balance is {amount}.", amount=money(balance, settings))


def _title(name: str, provider: Provider | None) -> str:
    return escape(name if provider is None else provider.title)


def _payment(payment_id: str) -> str:
    return gettext("Charge ID: {id}", id=f"<code>{escape(one_line(payment_id))}</code>")


def _price(
    job: RecordProviderPayment | RecordProviderDispute, minor_units: int, provider: Provider | None
) -> str:
    if provider is None or provider.currency != job.paid_currency:
        return gettext(
            "{count} of the smallest units of {currency}",
            count=minor_units,
            currency=escape(job.paid_currency),
        )
    return amount(minor_units, provider.exponent, provider.currency)
