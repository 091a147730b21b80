"""What people are told of payments: a receipt to who paid, an alarm to the admins. While no app handles payments, they
also say that no balance has changed.
"""

from __future__ import annotations

import re

from ballast.apps.command_names import called, joined, mention
from ballast.apps.installed import INSTALLED
from ballast.builtin.payments import RecordPayment
from ballast.reconciling.record import Finished
from ballast.subscriptions.chat_texts import title_of
from ballast.texts import gettext, ngettext
from ballast.texts.formats import amount, day
from ballast.texts.phrases import escape, money
from dbcore.currencies import STARS
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.star_payments import StarOutcome
from dbcore.ledger.star_subscriptions import SubscriptionOutcome
from dbcore.settings import Settings
from dbcore.text import one_line

_CODE = re.compile(r"[A-Z]{3}")

# Telegram counts in the smallest unit. How many make one: ISO 4217, where all others have two decimals.
_WITHOUT_DECIMALS = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_WITH_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


_APP_HANDLES_THEM = INSTALLED.handlers[RecordPayment.kind].replaced_by is not None
"""An app's function replaces RecordPayment, so only the app knows whether a balance has changed."""


def receipt(job: RecordPayment) -> str:
    price = f"<b>{_price(job)}</b>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        lines = [gettext("Your payment of {price} was refunded.", price=price), _charge(job)]
        return _lines(*lines, _unless_handled(gettext("Your balance has not changed.")))
    sells_nothing = gettext(
        "This bot does not sell anything yet, so your balance has not changed. The admins have been told. If you "
        "contact them about a refund, quote the charge ID."
    )
    received = gettext("We received your payment of {price}.", price=price)
    return _lines(received, _charge(job), _unless_handled(sells_nothing))


def booked(job: RecordPayment, outcome: StarOutcome, settings: Settings) -> str:
    """The receipt of Stars that were credited, or taken back."""
    moved, after = money(outcome.amount, settings), outcome.balance_after or 0
    price = f"<b>{_price(job)}</b>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        told = gettext("Your payment of {price} was refunded.", price=price)
        changed = gettext("{amount} was taken from your balance.", amount=moved)
    else:
        told = gettext("We received your payment of {price}.", price=price)
        changed = gettext("{amount} was added to your balance.", amount=moved)
    if after < 0:
        owed = money(-after, settings)
        now = gettext("You owe {amount}. Whatever your account receives pays that first.", amount=owed)
    else:
        now = gettext("Your balance is {amount}.", amount=money(after, settings))
    number = gettext("Receipt number: {number}", number=f"<code>{outcome.payment_id}</code>")
    return _lines(told, joined(changed, now), number, _charge(job))


def subscribed(job: RecordPayment, outcome: SubscriptionOutcome, settings: Settings) -> str:
    """The receipt of a subscription's payment, or of its refund."""
    price, title = f"<b>{_price(job)}</b>", title_of(outcome.plan or "", settings)
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        told = gettext("Your payment of {price} was refunded.", price=price)
        now = gettext("Your subscription to {title} has lost the time that it paid for.", title=_line(title))
    else:
        told = gettext("We received your payment of {price}.", price=price)
        until = outcome.expires_at
        now = (
            gettext("You are subscribed to {title} until {date}.", title=_line(title), date=day(until))
            if until is not None
            else ""
        )
    number = gettext("Receipt number: {number}", number=f"<code>{outcome.payment_id}</code>")
    return _lines(told, now, number, _charge(job))


def debt_alarm(job: RecordPayment, debt: int, settings: Settings) -> str:
    """For the admins: a refund took back what was spent."""
    owes = gettext(
        "{user} was refunded {price}, had spent it, and owes {amount}.",
        user=_user(job.telegram_id),
        price=_price(job),
        amount=money(debt, settings),
    )
    return _lines(owes, _charge(job))


def alarm(job: RecordPayment) -> str:
    """For the admins, who decide what becomes of the money."""
    who, price = _user(job.telegram_id), _price(job)
    unchanged = gettext("No balance has changed.")
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        hint = mention("debit", "If you credited this payment, use {command}.")
        refunded = gettext("{user} was refunded {price}.", user=who, price=price)
        return _lines(refunded, _charge(job), _unless_handled(joined(unchanged, hint)))
    if _APP_HANDLES_THEM:
        return _lines(gettext("{user} paid {price}.", user=who, price=price), _charge(job))
    paid = gettext("{user} paid {price}, but this bot does not process payments yet.", user=who, price=price)
    return _lines(paid, _charge(job), joined(unchanged, _refund(job)))


def reading(transactions: int, command: str) -> str:
    """Telegram's book is long."""
    read = ngettext(
        "{count} transaction was read so far.", "{count} transactions were read so far.", transactions
    )
    return joined(
        read, gettext("It goes on in the background. Send {command} again in a minute.", command=command)
    )


def reconciled(done: Finished) -> str:
    """What the comparison with Telegram's book of Stars found."""
    read = ngettext(
        "{count} transaction in Telegram's book.",
        "{count} transactions in Telegram's book.",
        done.transactions,
    )
    balance = ngettext(
        "Telegram's balance is {count} Star.", "Telegram's balance is {count} Stars.", done.stars
    )
    lines = [joined(read, balance)]
    if done.handed_in:
        lines.append(
            ngettext(
                "{count} payment or refund was missing here. It is being booked now.",
                "{count} payments and refunds were missing here. They are being booked now.",
                done.handed_in,
            )
        )
    left = done.open - done.bookable
    if left:
        found = ngettext("{count} difference is open.", "{count} differences are open.", left)
        shown = gettext("The status page and {command} show more.", command="<code>ballast reconcile</code>")
        lines.append(joined(found, shown))
    elif not done.handed_in:
        lines.append(gettext("It is the same as the ledger."))
    return _lines(*lines)


def doubtful(job: RecordPayment) -> str:
    """To the payer whom a report names that contradicts the first one of its charge."""
    price = f"<b>{_price(job)}</b>"
    if PaymentKind(job.event) is PaymentKind.REFUNDED:
        reported = gettext(
            "Telegram reported a refund of {price}, but we have another record of it.", price=price
        )
    else:
        reported = gettext(
            "Telegram reported a payment of {price}, but we have another record of it.", price=price
        )
    unchanged = _unless_handled(gettext("Your balance has not changed."))
    checked = gettext("The admins have been told and will check it.")
    return _lines(joined(reported, unchanged, checked), _charge(job))


def unreadable(reference: str) -> str:
    """To the payer whose payment is in an update that could not be read."""
    return gettext(
        "Telegram reported a payment in your chat, but we could not read it. Your balance has not changed. The admins "
        "have been told. If you contact them, quote this reference: {reference}",
        reference=f"<code>{reference}</code>",
    )


def unreadable_alarm(reference: str, telegram_id: int | None) -> str:
    return gettext(
        "{user} made or got back a payment that could not be read. It is the failed job {reference}, which holds "
        "Telegram's report: {command}. No balance has changed.",
        user=gettext("An unknown user") if telegram_id is None else _user(telegram_id),
        reference=f"<code>{reference}</code>",
        command=f"<code>ballast jobs show {reference}</code>",
    )


def contradiction(job: RecordPayment) -> str:
    again = gettext(
        "Telegram reported the charge {charge} again ({event}), with another payer, amount or currency: user {user}, "
        "{price}. The first report was kept.",
        charge=f"<code>{_line(job.charge_id)}</code>",
        event=job.event,
        user=f"<code>{job.telegram_id}</code>",
        price=_price(job),
    )
    return joined(again, _unless_handled(gettext("No balance has changed.")))


def _lines(*lines: str) -> str:
    return "\n".join(filter(None, lines))


def _charge(job: RecordPayment) -> str:
    return gettext("Charge ID: {id}", id=f"<code>{_line(job.charge_id)}</code>")


def _user(telegram_id: int) -> str:
    return gettext("User {id}", id=f"<code>{telegram_id}</code>")


def _unless_handled(text: str) -> str:
    return "" if _APP_HANDLES_THEM else text


def _refund(job: RecordPayment) -> str:
    """What can be done about it."""
    command = called("credit") if INSTALLED.name_of("credit") is not None else None
    if job.currency == STARS:
        if command is None:
            return gettext("Refund the payment with {method}.", method="refundStarPayment")
        return gettext(
            "Refund the payment with {method}, or use {command}.", method="refundStarPayment", command=command
        )
    if command is None:
        return gettext("Refund the payment in your payment provider's dashboard.")
    return gettext(
        "Refund the payment in your payment provider's dashboard, or use {command}.", command=command
    )


def _price(job: RecordPayment) -> str:
    if job.currency == STARS:
        return ngettext("{count} Telegram Star", "{count} Telegram Stars", job.amount)
    if not _CODE.fullmatch(job.currency):
        return gettext(
            "{count} of the smallest units of {currency}", count=job.amount, currency=_line(job.currency)
        )
    exponent = 0 if job.currency in _WITHOUT_DECIMALS else 3 if job.currency in _WITH_THREE_DECIMALS else 2
    return amount(job.amount, exponent, job.currency)


def _line(text: str) -> str:
    return escape(one_line(text))
