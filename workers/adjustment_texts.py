"""What admins are asked and told of a /credit or /debit, and what the user it was for is told."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.apps.command_names import called, joined
from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data
from ballast.builtin.balances import AskAdjustment
from ballast.builtin.button_data import CANCEL, CONFIRM
from ballast.messages import Button
from ballast.texts import gettext, ngettext
from ballast.texts.phrases import first_name, identified, memo_line, money, name, shown
from dbcore.ledger.pending_adjustments import Limits
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    Decision,
    PendingAdjustmentOutcome,
    RejectionReason,
)
from dbcore.settings import Settings
from workers.texts import (
    EXPIRES_AFTER_MINUTES,
    confirm_within,
    credited_or_debited,
    decision_buttons,
    frozen_for_admins,
    nothing_moved,
    their_balance_is,
)


def to_confirm(outcome: PendingAdjustmentOutcome, job: AskAdjustment, settings: Settings) -> str:
    assert outcome.target is not None and outcome.balance is not None  # noqa: S101  else it is refused
    amount, whom = money(abs(outcome.amount), settings), first_name(outcome.target)
    if outcome.amount > 0:
        question = gettext("Credit {amount} to {name}?", amount=amount, name=whom)
    else:
        question = gettext("Debit {amount} from {name}?", amount=amount, name=whom)
    before, after = outcome.balance, outcome.balance + outcome.amount
    lines = [
        question,
        identified(outcome.target),
        gettext("Balance now: {amount}", amount=money(before, settings)),
        gettext("Balance after: {amount}", amount=money(after, settings)) + memo_line(job.reason),
        f"<i>{confirm_within()}</i>",
    ]
    return "\n".join(lines)


def buttons(token: str, telegram_id: int) -> Sequence[Sequence[Button]]:
    """telegram_id -- of the admin who may press them, as with a transfer's."""
    if not INSTALLED.has_button("adjustment"):
        return []
    confirm, cancel = (button_data.adjustment(each, token, telegram_id) for each in (CONFIRM, CANCEL))
    return [decision_buttons("adjustment", confirm, cancel)]


def refused(outcome: PendingAdjustmentOutcome, job: AskAdjustment, settings: Settings) -> str:
    asked = f"@{job.username}" if job.username else str(job.telegram_id)
    return _refusal(
        outcome.reason,
        shown(asked),
        outcome.amount,
        _what_refused(outcome.balance, outcome.balance_now, settings),
        outcome.left_today,
        job.admin_id,
        settings,
    )


def _what_refused(available: int | None, balance_now: int | None, settings: Settings) -> str:
    """available -- what refused a debit: less than the balance if something is held."""
    if available is None:
        return ""
    if balance_now is None or balance_now <= available:
        return their_balance_is(available, settings)
    return gettext("They can spend {amount}.", amount=money(available, settings))


def decided(outcome: AdjustmentDecisionOutcome, admin_id: int, settings: Settings) -> str:
    if outcome.reason is not None:
        whom = "" if outcome.target is None else name(outcome.target)
        refused_by = _what_refused(outcome.balance_after, outcome.balance_now, settings)
        return _refusal(
            outcome.reason, whom, outcome.amount, refused_by, outcome.left_today, admin_id, settings
        )
    if outcome.decision is Decision.CANCELLED:
        return gettext("Cancelled. Nothing was changed.")
    # A confirmed one tells all of it; only refusals leave something out.
    assert outcome.target is not None and outcome.amount is not None  # noqa: S101
    assert outcome.balance_after is not None and outcome.card_balance is not None  # noqa: S101
    did = credited_or_debited(outcome.amount, name(outcome.target), settings)
    before = outcome.balance_after - outcome.amount
    changed = ""
    if before != outcome.card_balance:
        changed = gettext(
            "It had changed from {was} to {now} before you confirmed.",
            was=money(outcome.card_balance, settings),
            now=money(before, settings),
        )
    is_now = joined(their_balance_is(outcome.balance_after, settings), changed)
    return f"{did}{memo_line(outcome.memo or '')}\n{is_now}"


def closes_the_card(outcome: AdjustmentDecisionOutcome) -> bool:
    """Whether the card is replaced: not by what another admin's, a second or an unknown press brings."""
    return outcome.reason not in {
        RejectionReason.NOT_YOURS,
        RejectionReason.ALREADY_CONFIRMED,
        RejectionReason.ALREADY_CANCELLED,
        RejectionReason.UNKNOWN_TRANSFER,
    }


def _approvable() -> str:
    return gettext("An owner can approve what is above a limit, but not who asks for it.")


def _refusal(
    reason: RejectionReason | None,
    whom: str,
    amount: int | None,
    refused_by: str,
    left_today: int | None,
    admin_id: int,
    settings: Settings,
) -> str:
    """whom -- as HTML. refused_by -- a sentence, if funds were short."""
    nothing = nothing_moved(amount or 0)
    role = settings.role_of(admin_id)
    limits, is_own = Limits.of(settings, role), role in settings.role_limits
    match reason:
        case RejectionReason.OVER_LIMIT:
            most = money(limits.once or 0, settings)
            why = gettext(
                "One {credit} or {debit} may move at most {amount} ({option}).",
                credit=called("credit"),
                debit=called("debit"),
                amount=most,
                option="ROLE_LIMITS" if is_own else "CREDIT_LIMIT",
            )
            why = joined(why, _approvable())
        case RejectionReason.OVER_DAILY_LIMIT:
            most = money(limits.per_day or 0, settings)
            why = gettext(
                "An admin may move at most {amount} in 24 hours ({option}).",
                amount=most,
                option="ROLE_LIMITS" if is_own else "CREDIT_LIMIT_PER_DAY",
            )
            if left_today is not None:
                why = joined(why, gettext("You have {amount} left.", amount=money(left_today, settings)))
            why = joined(why, _approvable())
        case RejectionReason.INSUFFICIENT_FUNDS:
            why = gettext(
                "{name} does not have {amount}.", name=whom, amount=money(abs(amount or 0), settings)
            )
            why = joined(why, refused_by)
        case RejectionReason.UNKNOWN_USER:
            why = gettext(
                "{name} does not use this bot yet. They have to send me {command} first.",
                name=whom,
                command="/start",
            )
        case RejectionReason.AMBIGUOUS_USER:
            why = gettext("More than one user has been called {name}. Use the numeric ID instead.", name=whom)
        case RejectionReason.BALANCE_OVERFLOW:
            why = gettext("The balance would be larger than the ledger can hold.")
        case RejectionReason.AMOUNT_TOO_LARGE:
            why = gettext("The amount is too large.")
        case RejectionReason.EXPIRED:
            why = ngettext(
                "This request expired after {count} minute. Send the command again.",
                "This request expired after {count} minutes. Send the command again.",
                EXPIRES_AFTER_MINUTES,
            )
        case RejectionReason.ACCOUNT_FROZEN | RejectionReason.RECIPIENT_FROZEN:
            why = frozen_for_admins(reason)
        case RejectionReason.NOT_YOURS:
            return gettext("This belongs to another admin. Nothing was changed.")
        case RejectionReason.ALREADY_CONFIRMED:
            return gettext("This was already confirmed, and was done once.")
        case RejectionReason.ALREADY_CANCELLED:
            return gettext("This was already cancelled. Nothing was changed.")
        case _:
            return gettext("This request is unknown. Nothing was changed. Send the command again.")
    return joined(nothing, why)
