"""What owners and treasurers read of credits and debits above a limit. Names and reasons are made harmless by
ballast/texts/phrases.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from ballast.apps.command_names import joined
from ballast.texts import gettext, said
from ballast.texts.formats import day_and_time, zone
from ballast.texts.phrases import first_name, identified, memo_line, money, name, shown
from dbcore.outcomes import AdjustOutcome, Party, RejectionReason
from dbcore.people.approvals import Approval, ApprovalStatus
from dbcore.people.reasons import in_words
from dbcore.settings import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """An approval with whom it names. decided_by -- who is no person of Telegram's is an actor, such as `web:nadia`."""

    found: Approval
    operator: Party
    target: Party
    decided_by: Party | str


def question(about: Shown, balance: int | None, settings: Settings) -> str:
    """For an owner. balance -- of whom it is about; None if nobody knows."""
    found = about.found
    lines = [f"<b>{_asked(about, settings)}</b>", identified(about.target)]
    own = settings.in_currency(found.currency)
    if balance is not None:
        lines.append(gettext("Balance now: {amount}", amount=money(balance, own)))
        lines.append(gettext("Balance after: {amount}", amount=money(balance + found.amount, own)))
    lines.append(gettext("Asked for by {name}.", name=name(about.operator)) + memo_line(found.reason))
    if found.exceeds is RejectionReason.OVER_DAILY_LIMIT:
        lines.append(gettext("It is more than they may move within 24 hours."))
    else:
        lines.append(gettext("It is more than they may move at once."))
    until = day_and_time(found.expires_at, zone(settings.timezone))
    expires = gettext("It expires at {time}.", time=until)
    lines.append(f"<i>{expires}</i>")
    return "\n".join(lines)


def state(about: Shown, settings: Settings) -> str:
    """For an owner, of what is decided or has expired."""
    lines = [f"<b>{_asked(about, settings)}</b>", identified(about.target), _outcome(about)]
    return "\n".join(lines)


def decided(about: Shown, why: str, settings: Settings) -> str:
    """For whoever asked for it."""
    return f"<b>{_asked(about, settings)}</b>\n{_outcome(about)}{memo_line(why)}"


def done_at_once(outcome: AdjustOutcome, settings: Settings) -> str:
    """For whoever asked for it: no limit was in its way any more."""
    if outcome.reason is not None or outcome.target is None:
        return joined(gettext("No money was moved."), said(in_words(outcome.reason or "")))
    amount, whom = money(abs(outcome.amount), settings.in_currency(outcome.currency)), name(outcome.target)
    if outcome.amount > 0:
        return gettext("Credited {amount} to {name}.", amount=amount, name=whom)
    return gettext("Debited {amount} from {name}.", amount=amount, name=whom)


def ask_an_owner() -> str:
    return gettext("Ask an owner")


def too_many(most: int) -> str:
    return gettext("{count} of yours wait for approval already. Nothing was changed.", count=str(most))


def not_decided() -> str:
    return gettext("Your press changed nothing.")


def is_your_own() -> str:
    return gettext("You asked for this yourself: another owner has to decide it. Nothing was changed.")


def approve() -> str:
    return gettext("Approve")


def decline() -> str:
    return gettext("Decline")


def _asked(about: Shown, settings: Settings) -> str:
    found, whom = about.found, first_name(about.target)
    number, amount = found.id, money(abs(found.amount), settings.in_currency(found.currency))
    if found.amount > 0:
        return gettext(
            "Approval {number}: credit {amount} to {name}", number=number, amount=amount, name=whom
        )
    return gettext("Approval {number}: debit {amount} from {name}", number=number, amount=amount, name=whom)


def _outcome(about: Shown) -> str:
    found = about.found
    by = name(about.decided_by) if isinstance(about.decided_by, Party) else shown(about.decided_by)
    match found.status:
        case ApprovalStatus.APPROVED:
            return gettext("Approved by {name}.", name=by)
        case ApprovalStatus.DECLINED:
            return gettext("Declined by {name}. No money was moved.", name=by)
        case ApprovalStatus.REFUSED:
            why = "" if found.refusal is None else said(in_words(found.refusal))
            return joined(gettext("Approved by {name}, and refused. No money was moved.", name=by), why)
        case ApprovalStatus.WAITING:
            return gettext("It waits for an owner.")
        case ApprovalStatus.EXPIRED:
            return gettext("Nobody decided it in time. No money was moved.")
