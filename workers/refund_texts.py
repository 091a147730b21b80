"""What people are told of refunds of Stars: the card to confirm, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.apps.command_names import joined, mention
from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data
from ballast.builtin.button_data import CANCEL, CONFIRM
from ballast.messages import Button
from ballast.texts import gettext, ngettext
from ballast.texts.phrases import escape, identified, money, name
from dbcore.ledger.star_refunds import RefundedPayment, RefundOutcome, RefundState
from dbcore.outcomes import RejectionReason
from dbcore.settings import Settings
from dbcore.text import one_line
from workers.texts import EXPIRES_AFTER_MINUTES, confirm_within, decision_buttons


def to_confirm(outcome: RefundOutcome, *, by_payer: bool, settings: Settings) -> str:
    assert outcome.payment is not None and outcome.available is not None  # noqa: S101  else it is refused
    payment, price = outcome.payment, _price(outcome.payment)
    taken = money(payment.amount, settings)
    period = gettext(
        "It paid for a subscription, which loses that time. The last period's refund ends the renewal."
    )
    debt = payment.amount - max(0, outcome.available)
    if by_payer:
        lines = [
            gettext("Refund your payment of {price}?", price=price),
            gettext("{amount} will be taken from your balance.", amount=taken) if payment.amount else period,
        ]
    else:
        lines = [
            gettext("Refund {price} to {name}?", price=price, name=name(payment.payer)),
            identified(payment.payer),
            gettext("{amount} will be taken from their balance.", amount=taken) if payment.amount else period,
            gettext("They have spent {amount} of it, and will owe that.", amount=money(debt, settings))
            if payment.amount and debt > 0
            else "",
        ]
    return "\n".join([*filter(None, lines), *_numbers(payment), f"<i>{confirm_within()}</i>"])


def buttons(token: str, telegram_id: int) -> Sequence[Sequence[Button]]:
    """telegram_id -- of whoever may press them."""
    if not INSTALLED.has_button("refund"):
        return []
    confirm, cancel = (button_data.refund(each, token, telegram_id) for each in (CONFIRM, CANCEL))
    return [decision_buttons("refund", confirm, cancel)]


def refused(outcome: RefundOutcome, settings: Settings) -> str:
    """Why it is not put before anybody, or is not decided."""
    match outcome.reason:
        case RejectionReason.ALREADY_REFUNDED:
            return gettext("This payment was already refunded.")
        case RejectionReason.REFUND_UNDER_WAY:
            return gettext("This payment is already being refunded.")
        case RejectionReason.TOO_LATE:
            return joined(
                gettext("This payment is too old to be refunded here."),
                mention("paysupport", "{command} tells you whom to ask."),
            )
        case RejectionReason.INSUFFICIENT_FUNDS if outcome.payment is not None:
            return gettext(
                "{amount} would be taken from your balance, and you do not have that much. Nothing was refunded.",
                amount=money(outcome.payment.amount, settings),
            )
        case RejectionReason.EXPIRED:
            return ngettext(
                "This request expired after {count} minute. Send the command again.",
                "This request expired after {count} minutes. Send the command again.",
                EXPIRES_AFTER_MINUTES,
            )
        case RejectionReason.ALREADY_CONFIRMED:
            return gettext("This was already confirmed, and was done once.")
        case RejectionReason.ALREADY_CANCELLED:
            return gettext("This was already cancelled. Nothing was changed.")
        case RejectionReason.NOT_YOURS:
            return gettext("These buttons belong to somebody else.")
        case _:
            return gettext("I know no such payment.")


def cancelled() -> str:
    return gettext("Cancelled. Nothing was changed.")


def done(payment: RefundedPayment) -> str:
    told = gettext("Refunded {price} to {name}.", price=_price(payment), name=name(payment.payer))
    return "\n".join([told, *_numbers(payment)])


def refused_by_telegram(payment: RefundedPayment, reason: str) -> str:
    told = gettext(
        "Telegram did not refund {price}: {reason}. No balance has changed.",
        price=_price(payment),
        reason=escape(one_line(reason, 200)),
    )
    return "\n".join([told, *_numbers(payment)])


def closes_the_card(outcome: RefundOutcome) -> bool:
    """Not what a stranger's or a second press brings."""
    return outcome.reason not in {
        RejectionReason.NOT_YOURS,
        RejectionReason.ALREADY_CONFIRMED,
        RejectionReason.ALREADY_CANCELLED,
        RejectionReason.UNKNOWN_PAYMENT,
    } and outcome.state not in {None, RefundState.PENDING}


def _price(payment: RefundedPayment) -> str:
    return f"<b>{ngettext('{count} Telegram Star', '{count} Telegram Stars', payment.stars)}</b>"


def _numbers(payment: RefundedPayment) -> list[str]:
    return [
        gettext("Receipt number: {number}", number=f"<code>{payment.number}</code>"),
        gettext("Charge ID: {id}", id=f"<code>{escape(one_line(payment.charge_id))}</code>"),
    ]
