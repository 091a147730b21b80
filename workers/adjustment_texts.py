"""What admins are asked and told of a /credit or /debit, and what the user it was for is told."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.builtin import button_data
from ballast.builtin.button_data import CANCEL, CONFIRM
from ballast.messages import Button
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from dbcore.settings import Settings
from workers.command_names import called
from workers.jobs import INSTALLED, AskAdjustment
from workers.phrases import first_name, identified, memo_line, money, name, shown
from workers.texts import EXPIRES_AFTER_MINUTES, decision_buttons

NO_ADMIN_ANY_MORE = "You are no longer an admin of this bot. Nothing was changed."


def to_confirm(outcome: PendingAdjustmentOutcome, job: AskAdjustment, settings: Settings) -> str:
    assert outcome.target is not None and outcome.balance is not None  # noqa: S101  else it is refused
    amount = money(abs(outcome.amount), settings)
    question = f"Credit {amount} to" if outcome.amount > 0 else f"Debit {amount} from"
    before, after = outcome.balance, outcome.balance + outcome.amount
    return (
        f"{question} {first_name(outcome.target)}?\n"
        f"{identified(outcome.target)}\n"
        f"Balance now: {money(before, settings)}\n"
        f"Balance after: {money(after, settings)}"
        f"{memo_line(job.reason)}\n"
        f"<i>Confirm within {EXPIRES_AFTER_MINUTES} minutes.</i>"
    )


def buttons(token: str, telegram_id: int) -> Sequence[Sequence[Button]]:
    """telegram_id -- of the admin who may press them, as with a transfer's."""
    if not INSTALLED.has_button("adjustment"):
        return []
    confirm, cancel = (button_data.adjustment(each, token, telegram_id) for each in (CONFIRM, CANCEL))
    return [decision_buttons("adjustment", confirm, cancel)]


def refused(outcome: PendingAdjustmentOutcome, job: AskAdjustment, settings: Settings) -> str:
    asked = f"@{job.username}" if job.username else str(job.telegram_id)
    return _refusal(
        outcome.reason, shown(asked), outcome.amount, outcome.balance, outcome.left_today, settings
    )


def decided(outcome: AdjustmentDecisionOutcome, settings: Settings) -> str:
    if outcome.reason is not None:
        whom = "" if outcome.target is None else name(outcome.target)
        balance = outcome.balance_after
        return _refusal(outcome.reason, whom, outcome.amount, balance, outcome.left_today, settings)
    if outcome.decision is Decision.CANCELLED:
        return "Cancelled. Nothing was changed."
    # A confirmed one tells all of it; only refusals leave something out.
    assert outcome.target is not None and outcome.amount is not None  # noqa: S101
    assert outcome.balance_after is not None and outcome.card_balance is not None  # noqa: S101
    amount = money(abs(outcome.amount), settings)
    did = f"Credited {amount} to" if outcome.amount > 0 else f"Debited {amount} from"
    before = outcome.balance_after - outcome.amount
    changed = ""
    if before != outcome.card_balance:
        was, now = money(outcome.card_balance, settings), money(before, settings)
        changed = f" It had changed from {was} to {now} before you confirmed."
    return (
        f"{did} {name(outcome.target)}.{memo_line(outcome.memo or '')}\n"
        f"Their balance is {money(outcome.balance_after, settings)}.{changed}"
    )


def closes_the_card(outcome: AdjustmentDecisionOutcome) -> bool:
    """Whether the card is replaced: not by what another admin's, a second or an unknown press brings."""
    return outcome.reason not in {
        RejectionReason.NOT_YOURS,
        RejectionReason.ALREADY_CONFIRMED,
        RejectionReason.ALREADY_CANCELLED,
        RejectionReason.UNKNOWN_TRANSFER,
    }


def adjusted_for_you(outcome: AdjustmentDecisionOutcome, settings: Settings) -> str:
    assert outcome.amount is not None and outcome.balance_after is not None  # noqa: S101  asked for confirmed ones alone
    what = "You were credited" if outcome.amount > 0 else "You were debited"
    return (
        f"{what} {money(abs(outcome.amount), settings)}.{memo_line(outcome.memo or '')}\n"
        f"Your balance is {money(outcome.balance_after, settings)}."
    )


def _refusal(
    reason: RejectionReason | None,
    whom: str,
    amount: int | None,
    balance: int | None,
    left_today: int | None,
    settings: Settings,
) -> str:
    """whom -- as HTML. balance -- the one that refused it."""
    nothing = "Nothing was debited." if amount is not None and amount < 0 else "Nothing was credited."
    match reason:
        case RejectionReason.OVER_LIMIT:
            most = money(settings.minor_units(settings.credit_limit) or 0, settings)
            return f"{nothing} One {called('credit')} or {called('debit')} may move at most {most} (CREDIT_LIMIT)."
        case RejectionReason.OVER_DAILY_LIMIT:
            most = money(settings.minor_units(settings.credit_limit_per_day) or 0, settings)
            left = "" if left_today is None else f" You have {money(left_today, settings)} left."
            return f"{nothing} An admin may move at most {most} in 24 hours (CREDIT_LIMIT_PER_DAY).{left}"
        case RejectionReason.INSUFFICIENT_FUNDS:
            has = "" if balance is None else f" Their balance is {money(balance, settings)}."
            return f"{nothing} {whom} does not have {money(abs(amount or 0), settings)}.{has}"
        case RejectionReason.UNKNOWN_USER:
            return f"{nothing} {whom} does not use this bot yet. They have to send me /start first."
        case RejectionReason.AMBIGUOUS_USER:
            return f"{nothing} More than one user has been called {whom}. Use the numeric ID instead."
        case RejectionReason.BALANCE_OVERFLOW:
            return f"{nothing} The balance would be larger than the ledger can hold."
        case RejectionReason.AMOUNT_TOO_LARGE:
            return f"{nothing} The amount is too large."
        case RejectionReason.EXPIRED:
            return f"{nothing} This request expired after {EXPIRES_AFTER_MINUTES} minutes. Send the command again."
        case RejectionReason.NOT_YOURS:
            return "This belongs to another admin. Nothing was changed."
        case RejectionReason.ALREADY_CONFIRMED:
            return "This was already confirmed, and was done once."
        case RejectionReason.ALREADY_CANCELLED:
            return "This was already cancelled. Nothing was changed."
        case _:
            return "This request is unknown. Nothing was changed. Send the command again."
