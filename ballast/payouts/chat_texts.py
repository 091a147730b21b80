"""What people and operators read of withdrawals. What people wrote is made harmless by ballast/texts/phrases.py."""

from __future__ import annotations

from ballast.apps.command_names import joined, mention
from ballast.payouts.adapter import PayoutAdapter
from ballast.payouts.manual import NAME
from ballast.texts import gettext, ngettext, said
from ballast.texts.formats import amount, day_and_time
from ballast.texts.phrases import escape, identified, money, name, shown
from dbcore.ledger.pending_transfers import EXPIRES_AFTER_SECONDS
from dbcore.ledger.withdrawals import (
    TEXT_LENGTH_MAX,
    Payout,
    Switch,
    Withdrawal,
    WithdrawalOutcome,
    WithdrawalState,
)
from dbcore.outcomes import RejectionReason
from dbcore.people.reasons import in_words
from dbcore.settings import Settings
from dbcore.text import one_line

_MINUTES = int(EXPIRES_AFTER_SECONDS // 60)


def is_off() -> str:
    return gettext("This bot does not pay out.")


def usage() -> str:
    return mention("withdraw", "Usage: {command} 5.50")


def how_much() -> str:
    return gettext("How much do you want to withdraw?")


def where_to() -> str:
    return gettext("Where should it be paid to?")


def why_as_they_read_it() -> str:
    return gettext("Why? The person reads this.")


def which_reference() -> str:
    return gettext("What is the reference of the payment?")


def too_little(by: PayoutAdapter) -> str:
    return gettext("This is too little to be paid by {name}.", name=escape(by.title))


def question(wanted: int, payout: Payout, by: PayoutAdapter, settings: Settings) -> str:
    lines = [
        gettext("Withdraw {amount}?", amount=f"<b>{money(wanted, settings)}</b>"),
        gettext("You are paid: {amount}", amount=_pays(payout, by)),
        gettext("To: {destination}", destination=f"<code>{shown(payout.destination)}</code>"),
    ]
    if payout.adapter != NAME:
        lines.append(gettext("By: {name}", name=escape(by.title)))
    within = ngettext("Confirm within {count} minute.", "Confirm within {count} minutes.", _MINUTES)
    return "\n".join([*lines, f"<i>{within}</i>"])


def refused(outcome: WithdrawalOutcome, settings: Settings) -> str:
    match outcome.reason:
        case RejectionReason.PAYOUTS_STOPPED:
            return gettext("Payouts are stopped at the moment. Nothing was taken from your balance.")
        case RejectionReason.OVER_LIMIT if settings.withdrawals_limit is not None:
            limit = money(settings.minor_units(settings.withdrawals_limit) or 0, settings)
            return gettext("You can withdraw up to {amount} at once.", amount=limit)
        case RejectionReason.OVER_DAILY_LIMIT:
            left = money(outcome.left or 0, settings)
            return gettext("You can withdraw {amount} more within 24 hours.", amount=left)
        case RejectionReason.INSUFFICIENT_FUNDS:
            available = money(max(0, outcome.available or 0), settings)
            return gettext("You do not have that much. Available: {amount}", amount=available)
        case RejectionReason.AMOUNT_TOO_LARGE:
            return gettext("That amount is too large.")
        case RejectionReason.ACCOUNT_FROZEN:
            return gettext("Your account is frozen. Nothing was taken from your balance.")
        case None:
            return gettext("Cancelled. Nothing was changed.")
        case reason:
            return said(in_words(reason))


def cancelled() -> str:
    return gettext("Cancelled. Nothing was changed.")


def taken(found: Withdrawal, settings: Settings) -> str:
    """Right after Confirm."""
    reserved = gettext(
        "Withdrawal {number}: {amount} is reserved.",
        number=found.number,
        amount=f"<b>{money(found.amount, settings)}</b>",
    )
    if found.state is WithdrawalState.HELD:
        return joined(reserved, gettext("Somebody has to approve it; I will write to you."))
    return joined(reserved, gettext("I will write to you when it is paid."))


def ended(found: Withdrawal, settings: Settings) -> str:
    paid = found.state is WithdrawalState.PAID
    about = {"number": found.number, "amount": f"<b>{money(found.amount, settings)}</b>"}
    if paid:
        text = gettext("Withdrawal {number} of {amount} is paid.", **about)
        return "\n".join([text, gettext("Reference: {reference}", reference=_code(found.reference))])
    text = gettext("Withdrawal {number} of {amount} was not paid, and the money is yours again.", **about)
    return "\n".join([text, gettext("Reason: {reason}", reason=_why(found))])


def card(
    found: Withdrawal, reason: RejectionReason | None, by: PayoutAdapter | None, settings: Settings
) -> str:
    """For operators. reason -- why what they wanted was not done."""
    title = gettext("Withdrawal {number}: {state}", number=found.number, state=state(found.state))
    whose = f"{name(found.owner)}, {identified(found.owner)}"
    return "\n".join([f"<b>{title}</b>", whose, *_details(found, reason, by, settings)])


def own_card(
    found: Withdrawal, reason: RejectionReason | None, by: PayoutAdapter | None, settings: Settings
) -> str:
    """For whoever asked for it. reason -- why it was not taken back."""
    title = gettext("Withdrawal {number}: {state}", number=found.number, state=state(found.state))
    return "\n".join([f"<b>{title}</b>", *_details(found, reason, by, settings)])


def _details(
    found: Withdrawal, reason: RejectionReason | None, by: PayoutAdapter | None, settings: Settings
) -> list[str]:
    paid_as = found.payout.currency if by is None else _pays(found.payout, by)
    lines = [
        f"{money(found.amount, settings)} → {paid_as}",
        gettext("To: {destination}", destination=_code(found.payout.destination)),
    ]
    if found.reference is not None:
        lines.append(gettext("Reference: {reference}", reference=_code(found.reference)))
    if found.reason is not None:
        lines.append(gettext("Reason: {reason}", reason=_why(found)))
    if reason is not None:
        lines.append(said(in_words(reason)))
    return lines


def state(of: WithdrawalState) -> str:
    match of:
        case WithdrawalState.HELD:
            return gettext("to be approved")
        case WithdrawalState.APPROVED:
            return gettext("approved")
        case WithdrawalState.PAYING:
            return gettext("to be paid")
        case WithdrawalState.PAID:
            return gettext("paid")
        case _:
            return gettext("returned")


def overview(stands: Switch, count: int) -> str:
    """count -- of those that are open."""
    waiting = ngettext("{count} withdrawal is open.", "{count} withdrawals are open.", count)
    if not stands.is_stopped:
        return waiting
    since = gettext("Payouts are stopped since {time}.", time=day_and_time(stands.changed_at))
    return f"<b>{since}</b>\n{waiting}"


def paid_and_returned(number: int) -> str:
    return gettext(
        "Withdrawal {number} was paid by the provider after it was returned here. Look into it.",
        number=number,
    )


def refused_by(number: int, by: PayoutAdapter, words: str) -> str:
    """For the admins. words -- the provider's."""
    return gettext(
        "{name} refused to pay withdrawal {number}, and the money is its user's again: {reason}",
        name=escape(by.title),
        number=number,
        reason=shown(one_line(words, TEXT_LENGTH_MAX)),
    )


def none_of_yours() -> str:
    return gettext("You have no withdrawals.")


def take_back() -> str:
    return gettext("Take it back")


def approve() -> str:
    return gettext("Approve")


def decline() -> str:
    return gettext("Decline")


def paid() -> str:
    return gettext("It is paid")


def stop() -> str:
    return gettext("Stop all payouts")


def go_on() -> str:
    return gettext("Go on with payouts")


def _pays(payout: Payout, by: PayoutAdapter) -> str:
    return amount(payout.pays, by.exponent, payout.currency)


def _why(found: Withdrawal) -> str:
    """In an operator's words, or of what ended it by itself."""
    said_why = in_words(found.reason or "")
    return shown(said_why) if isinstance(said_why, str) else said(said_why)


def _code(text: str | None) -> str:
    return f"<code>{shown(text or '')}</code>"
