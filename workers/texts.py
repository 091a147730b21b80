"""What the workers say to people: one function an outcome, Telegram's HTML, names and memos made harmless."""

from __future__ import annotations

from collections.abc import Sequence

from ballast.builtin import button_data
from ballast.builtin.button_data import CANCEL, CONFIRM
from ballast.builtin.transfers import NEWER, OLDER
from ballast.builtin.words import DECISIONS
from ballast.messages import Button
from dbcore.ledger.history import HistoryEntry, HistoryPage
from dbcore.ledger.users import UserAccount
from dbcore.money import format_amount
from dbcore.outcomes import AdjustOutcome, Decision, DecisionOutcome, Party, PendingOutcome, RejectionReason
from dbcore.settings import Settings
from workers import phrases
from workers.command_names import mention
from workers.jobs import INSTALLED, AdjustBalance, CreateTransfer
from workers.phrases import NAME_SHOWN_MAX, first_name, identified, quoted, shown

escape, _money, _name, _memo = phrases.escape, phrases.money, phrases.name, phrases.memo_line

NOT_YOUR_HISTORY = f"These buttons belong to somebody else.{mention('history', ' Send {} to see your own.')}"

BROADCASTS_STOPPED = (
    "You will no longer get broadcasts. Everything else works as before."
    f"{mention('resume', ' Send {} to get them again.')}"
)
BROADCASTS_WANTED = f"You will get broadcasts again.{mention('stop', ' Send {} to stop them.')}"

_WHAT_THERE_IS = ", ".join(
    filter(
        None,
        [
            mention("balance", "{} shows your balance"),
            mention("send", "{} sends money to somebody else"),
            mention("history", "{} shows your transactions"),
            mention("help", "{} lists the commands"),
        ],
    )
)

EXPIRES_AFTER_MINUTES = 10

MEMO_SHOWN_MAX = 40
"""In a page of history; elsewhere a memo is shown whole."""


def welcome(account: UserAccount, settings: Settings) -> str:
    greeting = "Welcome" if account.created else "Welcome back"
    called = shown(account.first_name, NAME_SHOWN_MAX)
    name = f", {called}" if called else ""
    text = f"{greeting}{name}! Your balance is {_money(account.balance, settings)}."
    return f"{text}\n\n{_WHAT_THERE_IS}." if _WHAT_THERE_IS else text


def balance(account: UserAccount, settings: Settings) -> str:
    return f"Your balance is {_money(account.balance, settings)}."


def adjusted(outcome: AdjustOutcome, job: AdjustBalance, settings: Settings) -> str:
    asked = f"@{job.username}" if job.username else str(job.telegram_id)
    amount = _money(abs(job.amount), settings)
    match outcome.reason:
        case None:
            assert outcome.target is not None and outcome.balance_after is not None  # noqa: S101
            did = "Credited" if job.amount > 0 else "Debited"
            preposition = "to" if job.amount > 0 else "from"
            return (
                f"{did} {amount} {preposition} {_name(outcome.target)}.{_memo(job.reason)}\n"
                f"Their balance is {_money(outcome.balance_after, settings)}."
            )
        case RejectionReason.INSUFFICIENT_FUNDS:
            return f"Nothing was debited: {shown(asked)} has less than {amount}."
        case reason:
            return _refusal(reason, asked)


def adjusted_for_you(outcome: AdjustOutcome, job: AdjustBalance, settings: Settings) -> str:
    assert outcome.balance_after is not None  # noqa: S101  asked for applied outcomes alone
    what = "You were credited" if job.amount > 0 else "You were debited"
    return (
        f"{what} {_money(abs(job.amount), settings)}.{_memo(job.reason)}\n"
        f"Your balance is {_money(outcome.balance_after, settings)}."
    )


def transfer_refused(outcome: PendingOutcome, job: CreateTransfer, settings: Settings) -> str:
    if outcome.reason is RejectionReason.INSUFFICIENT_FUNDS:
        has = "" if outcome.balance is None else f" Your balance is {_money(outcome.balance, settings)}."
        return f"You do not have {_money(job.amount, settings)}.{has}"
    assert outcome.reason is not None  # noqa: S101
    return _refusal(outcome.reason, job.recipient)


def _refusal(reason: RejectionReason, asked: str) -> str:
    whom = shown(asked)
    match reason:
        case RejectionReason.UNKNOWN_USER:
            return f"I do not know {whom}. They need to send me /start once before they can receive money."
        case RejectionReason.AMBIGUOUS_USER:
            return f"More than one person I know has used {whom}. Use the numeric ID instead."
        case RejectionReason.SAME_ACCOUNT:
            return "You cannot send money to yourself."
        case RejectionReason.EXPIRED:
            return f"Too late: this expired after {EXPIRES_AFTER_MINUTES} minutes. No money was sent."
        case RejectionReason.NOT_YOURS:
            return "This transfer belongs to somebody else. No money was sent."
        case RejectionReason.ALREADY_CONFIRMED:
            return "This transfer was already confirmed. It was made once and will not be made again."
        case RejectionReason.ALREADY_CANCELLED:
            return "This transfer was already cancelled. No money was sent."
        case RejectionReason.UNKNOWN_TRANSFER:
            return "I do not know this transfer. No money was sent."
        case _:
            return f"Refused: {reason.value.replace('_', ' ')}. No money was moved."


def transfer_to_confirm(outcome: PendingOutcome, job: CreateTransfer, settings: Settings) -> str:
    assert outcome.recipient is not None  # noqa: S101  a transfer without one is refused
    return (
        f"Send {_money(outcome.amount, settings)} to {first_name(outcome.recipient)}?\n"
        f"{identified(outcome.recipient)}{_memo(job.memo)}\n"
        f"<i>Confirm within {EXPIRES_AFTER_MINUTES} minutes.</i>"
    )


def transfer_buttons(token: str, telegram_id: int) -> Sequence[Sequence[Button]]:
    """telegram_id -- of the person who may press them: others are told so at once, without asking the database."""
    if not INSTALLED.has_button("transfer"):
        return []
    confirm, cancel = (button_data.transfer(each, token, telegram_id) for each in (CONFIRM, CANCEL))
    return [decision_buttons("transfer", confirm, cancel)]


def decision_buttons(name: str, confirm: str, cancel: str) -> Sequence[Button]:
    """name -- the button's. confirm, cancel -- the callback data."""
    labels = (INSTALLED.label(name, label) for label in DECISIONS)
    return [Button(text=text, data=data) for text, data in zip(labels, (confirm, cancel), strict=True)]


def decided(outcome: DecisionOutcome, settings: Settings) -> str:
    if outcome.reason is RejectionReason.INSUFFICIENT_FUNDS:
        return "Your balance is now too low for this. No money was sent."
    if outcome.reason is not None:
        return _refusal(outcome.reason, "")
    if outcome.decision is Decision.CANCELLED:
        return "Cancelled. No money was sent."
    return _moved("Sent {amount} to {name}.", outcome, outcome.recipient, outcome.sender_balance, settings)


def decided_in_group(outcome: DecisionOutcome, settings: Settings) -> str:
    """What the whole group reads: who sent whom how much, and nobody's balance."""
    if not money_moved(outcome):
        return decided(outcome, settings) if not is_private(outcome) else "No money was sent."
    assert outcome.sender is not None and outcome.recipient is not None and outcome.amount is not None  # noqa: S101
    amount = _money(outcome.amount, settings)
    return f"{_name(outcome.sender)} sent {_name(outcome.recipient)} {amount}."


def is_private(outcome: DecisionOutcome) -> bool:
    """Whether the sender's answer tells of their balance."""
    return money_moved(outcome) or outcome.reason is RejectionReason.INSUFFICIENT_FUNDS


def cancelled(count: int) -> str:
    if count == 0:
        return "You have no transfer waiting to be confirmed, so there is nothing to cancel."
    what = "Your transfer was" if count == 1 else f"Your {count} transfers were"
    return f"{what} cancelled. No money was sent."


def closes_the_question(outcome: DecisionOutcome) -> bool:
    """Whether the message with the buttons is replaced: not by a stranger's press, or a second one."""
    return outcome.reason not in {
        RejectionReason.NOT_YOURS,
        RejectionReason.ALREADY_CONFIRMED,
        RejectionReason.ALREADY_CANCELLED,
        RejectionReason.UNKNOWN_TRANSFER,
    }


def money_moved(outcome: DecisionOutcome) -> bool:
    return outcome.decision is Decision.CONFIRMED and outcome.reason is None


def received(outcome: DecisionOutcome, settings: Settings) -> str:
    return _moved("{name} sent you {amount}.", outcome, outcome.sender, outcome.recipient_balance, settings)


def _moved(
    sentence: str,
    outcome: DecisionOutcome,
    other: Party | None,
    balance_after: int | None,
    settings: Settings,
) -> str:
    # A confirmed transfer tells all of it; only refusals leave something out.
    assert other is not None and outcome.amount is not None and balance_after is not None  # noqa: S101
    did = sentence.format(amount=_money(outcome.amount, settings), name=_name(other))
    return f"{did}{_memo(outcome.memo or '')}\nYour balance is {_money(balance_after, settings)}."


def history(page: HistoryPage, settings: Settings) -> str:
    if not page.entries:
        return "You have no transactions yet."
    lines = [_entry(entry, settings) for entry in page.entries]
    return f"Your balance is {_money(page.balance, settings)}. Times are UTC.\n\n" + "\n".join(lines)


def _entry(entry: HistoryEntry, settings: Settings) -> str:
    sign = "+" if entry.amount > 0 else "−"
    amount = format_amount(abs(entry.amount), settings.currency_exponent, settings.currency)
    if entry.counterparty is None:
        with_whom = "credit" if entry.amount > 0 else "debit"
    else:
        with_whom = f"{'from' if entry.amount > 0 else 'to'} {_name(entry.counterparty)}"
    said = quoted(entry.memo, MEMO_SHOWN_MAX)
    memo = f" · {said}" if said else ""
    return f"{entry.created_at:%Y-%m-%d %H:%M} <b>{sign}{amount}</b> {with_whom}{memo}"


def history_buttons(page: HistoryPage, telegram_id: int, page_length: int) -> Sequence[Sequence[Button]]:
    if not page.entries or not INSTALLED.has_button("history"):
        return []
    newest_shown, oldest_shown = page.entries[0].version, page.entries[-1].version
    row = []
    if newest_shown < page.newest_version:
        newer = min(page.newest_version, newest_shown + page_length)
        row.append(
            Button(text=INSTALLED.label("history", NEWER), data=button_data.history(telegram_id, newer))
        )
    if oldest_shown > 1:
        row.append(
            Button(
                text=INSTALLED.label("history", OLDER),
                data=button_data.history(telegram_id, oldest_shown - 1),
            )
        )
    return [row] if row else []


def failed(reference: str) -> str:
    return (
        f"Sorry, something went wrong on our side. If you contact support, quote reference {reference}."
        f"{mention('history', ' Send {} to see whether money was moved.')}"
    )
