"""What the workers say to people: one function an outcome, Telegram's HTML, names and memos made harmless."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ballast.apps.command_names import called, joined, mention
from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data
from ballast.builtin.balances import AdjustBalance
from ballast.builtin.button_data import CANCEL, CONFIRM
from ballast.builtin.transfers import NEWER, OLDER, CreateTransfer
from ballast.builtin.words import DECISIONS
from ballast.messages import Button
from ballast.texts import gettext, ngettext, of_any_app, own_name, pgettext, phrases, spoken
from ballast.texts.formats import amount as formatted_amount
from ballast.texts.formats import day_and_time, zone
from ballast.texts.phrases import NAME_SHOWN_MAX, first_name, identified, quoted, reserved_of, shown
from dbcore.ledger.history import HistoryEntry, HistoryPage
from dbcore.ledger.users import UserAccount
from dbcore.outcomes import AdjustOutcome, Decision, DecisionOutcome, PendingOutcome, RejectionReason
from dbcore.settings import Settings

escape, _money, _name, _memo = phrases.escape, phrases.money, phrases.name, phrases.memo_line

EXPIRES_AFTER_MINUTES = 10

MEMO_SHOWN_MAX = 40
"""In a page of history; elsewhere a memo is shown whole."""


def broadcasts_stopped() -> str:
    return joined(
        gettext("You will no longer get broadcasts. Everything else works as before."),
        mention("resume", "Send {command} to get them again."),
    )


def broadcasts_wanted() -> str:
    return joined(gettext("You will get broadcasts again."), mention("stop", "Send {command} to stop them."))


def language_chosen() -> str:
    """In the language that was chosen."""
    return gettext("From now on I will write to you in this language: {name}.", name=own_name(spoken()))


def time_zone_chosen(settings: Settings) -> str:
    """By the clocks that were chosen."""
    local = datetime.now(zone(settings.timezone))
    return gettext(
        "From now on I will show you times in this time zone: {zone}. It is {time} there now.",
        zone=zone(settings.timezone).key,
        time=f"{local:%H:%M}",
    )


def _what_there_is() -> str:
    return ", ".join(
        filter(
            None,
            [
                mention("balance", "{command} shows your balance"),
                mention("send", "{command} sends money to somebody else"),
                mention("history", "{command} shows your transactions"),
                mention("help", "{command} lists the commands"),
            ],
        )
    )


def welcome(account: UserAccount, settings: Settings) -> str:
    name = shown(account.first_name, NAME_SHOWN_MAX)
    if account.created:
        greeting = gettext("Welcome, {name}!", name=name) if name else gettext("Welcome!")
    else:
        greeting = gettext("Welcome back, {name}!", name=name) if name else gettext("Welcome back!")
    # Where /balance is switched off, balances are elsewhere, such as in an app's own tables.
    text = greeting if INSTALLED.name_of("balance") is None else f"{greeting} {balance(account, settings)}"
    what_there_is = _what_there_is()
    return f"{text}\n\n{what_there_is}." if what_there_is else text


def balance(account: UserAccount, settings: Settings) -> str:
    lines = [your_balance_is(account.balance, settings, account.held)]
    for each in account.others:
        if each.balance:
            others = settings.in_currency(each.currency)
            also = gettext("You also have {amount}.", amount=_money(each.balance, others))
            lines.append(joined(also, _of_which_held(each.balance, others, each.held)))
    return "\n".join(lines)


def your_balance_is(minor: int, settings: Settings, held: int = 0) -> str:
    told = gettext("Your balance is {amount}.", amount=_money(minor, settings))
    return joined(told, _of_which_held(minor, settings, held))


def _of_which_held(minor: int, settings: Settings, held: int) -> str:
    if not held:
        return ""
    return reserved_of(minor, held, settings)


def _what_refused(outcome: PendingOutcome, available: int, settings: Settings) -> str:
    if all(now.balance == available for now in outcome.balances_now):
        return your_balance_is(available, settings)
    return gettext("You can spend {amount}.", amount=_money(available, settings))


def their_balance_is(minor: int, settings: Settings) -> str:
    return gettext("Their balance is {amount}.", amount=_money(minor, settings))


def credited_or_debited(minor: int, whom: str, settings: Settings) -> str:
    """minor -- below zero of a debit. whom -- as HTML."""
    amount = _money(abs(minor), settings)
    if minor > 0:
        return gettext("Credited {amount} to {name}.", amount=amount, name=whom)
    return gettext("Debited {amount} from {name}.", amount=amount, name=whom)


def adjusted(outcome: AdjustOutcome, job: AdjustBalance, settings: Settings) -> str:
    asked = f"@{job.username}" if job.username else str(job.telegram_id)
    match outcome.reason:
        case None:
            assert outcome.target is not None and outcome.balance_after is not None  # noqa: S101
            did = credited_or_debited(job.amount, _name(outcome.target), settings)
            return f"{did}{_memo(job.reason)}\n{their_balance_is(outcome.balance_after, settings)}"
        case RejectionReason.INSUFFICIENT_FUNDS:
            return gettext(
                "Nothing was debited: {name} has less than {amount}.",
                name=shown(asked),
                amount=_money(abs(job.amount), settings),
            )
        case RejectionReason.ACCOUNT_FROZEN | RejectionReason.RECIPIENT_FROZEN:
            return joined(nothing_moved(job.amount), frozen_for_admins(outcome.reason))
        case reason:
            return _refusal(reason, asked)


def nothing_moved(minor: int) -> str:
    """minor -- what an adjustment would have moved, below zero of a debit."""
    return gettext("Nothing was debited.") if minor < 0 else gettext("Nothing was credited.")


def frozen_for_admins(reason: RejectionReason) -> str:
    if reason is RejectionReason.ACCOUNT_FROZEN:
        return gettext("The account is frozen and sends nothing. Unfreeze it first.")
    return gettext("The account is frozen and receives nothing. Unfreeze it first.")


def adjusted_for_you(minor: int, balance_after: int | None, memo: str, settings: Settings) -> str:
    """To whose balance changed by `minor`."""
    assert balance_after is not None  # noqa: S101  asked for applied outcomes alone
    amount = _money(abs(minor), settings)
    if minor > 0:
        did = gettext("You were credited {amount}.", amount=amount)
    else:
        did = gettext("You were debited {amount}.", amount=amount)
    return f"{did}{_memo(memo)}\n{your_balance_is(balance_after, settings)}"


def transfer_refused(outcome: PendingOutcome, job: CreateTransfer, settings: Settings) -> str:
    if outcome.reason is RejectionReason.INSUFFICIENT_FUNDS:
        return joined(
            gettext("You do not have {amount}.", amount=_money(job.amount, settings)),
            "" if outcome.balance is None else _what_refused(outcome, outcome.balance, settings),
        )
    assert outcome.reason is not None  # noqa: S101
    return _refusal(outcome.reason, job.recipient)


def _refusal(reason: RejectionReason, asked: str) -> str:
    whom = shown(asked)
    match reason:
        case RejectionReason.UNKNOWN_USER:
            return gettext(
                "I do not know {name}. They need to send me {command} once before they can receive money.",
                name=whom,
                command="/start",
            )
        case RejectionReason.AMBIGUOUS_USER:
            return gettext(
                "More than one person I know has used {name}. Use the numeric ID instead.", name=whom
            )
        case RejectionReason.SAME_ACCOUNT:
            return gettext("You cannot send money to yourself.")
        case RejectionReason.EXPIRED:
            return ngettext(
                "Too late: this expired after {count} minute. No money was sent.",
                "Too late: this expired after {count} minutes. No money was sent.",
                EXPIRES_AFTER_MINUTES,
            )
        case RejectionReason.NOT_YOURS:
            return gettext("This transfer belongs to somebody else. No money was sent.")
        case RejectionReason.ALREADY_CONFIRMED:
            return gettext(
                "This transfer was already confirmed. It was made once and will not be made again."
            )
        case RejectionReason.ALREADY_CANCELLED:
            return gettext("This transfer was already cancelled. No money was sent.")
        case RejectionReason.UNKNOWN_TRANSFER:
            return gettext("I do not know this transfer. No money was sent.")
        case RejectionReason.ACCOUNT_FROZEN:
            return gettext("Your account is frozen, so you cannot send money. No money was sent.")
        case RejectionReason.RECIPIENT_FROZEN:
            return gettext("The recipient cannot receive money at the moment. No money was sent.")
        case _:
            return gettext("Refused: {reason}. No money was moved.", reason=reason.value.replace("_", " "))


def transfer_to_confirm(outcome: PendingOutcome, job: CreateTransfer, settings: Settings) -> str:
    assert outcome.recipient is not None  # noqa: S101  a transfer without one is refused
    question = gettext(
        "Send {amount} to {name}?",
        amount=_money(outcome.amount, settings),
        name=first_name(outcome.recipient),
    )
    return f"{question}\n{identified(outcome.recipient)}{_memo(job.memo)}\n<i>{confirm_within()}</i>"


def confirm_within() -> str:
    return ngettext(
        "Confirm within {count} minute.", "Confirm within {count} minutes.", EXPIRES_AFTER_MINUTES
    )


def transfer_buttons(token: str, telegram_id: int) -> Sequence[Sequence[Button]]:
    """telegram_id -- of the person who may press them: others are told so at once, without asking the database."""
    if not INSTALLED.has_button("transfer"):
        return []
    confirm, cancel = (button_data.transfer(each, token, telegram_id) for each in (CONFIRM, CANCEL))
    return [decision_buttons("transfer", confirm, cancel)]


def decision_buttons(name: str, confirm: str, cancel: str) -> Sequence[Button]:
    """name -- the button's. confirm, cancel -- the callback data."""
    labels = (button_label(name, label) for label in DECISIONS)
    return [Button(text=text, data=data) for text, data in zip(labels, (confirm, cancel), strict=True)]


def button_label(name: str, label: str) -> str:
    """What a button says: what an app has it say, else its label in the language that is spoken."""
    renamed = INSTALLED.label(name, label)
    return of_any_app(renamed) if renamed != label else gettext(label)


def decided(outcome: DecisionOutcome, settings: Settings) -> str:
    if outcome.reason is RejectionReason.INSUFFICIENT_FUNDS:
        return gettext("Your balance is now too low for this. No money was sent.")
    if outcome.reason is not None:
        return _refusal(outcome.reason, "")
    if outcome.decision is Decision.CANCELLED:
        return gettext("Cancelled. No money was sent.")
    # A confirmed transfer tells all of it; only refusals leave something out.
    assert outcome.recipient is not None and outcome.amount is not None  # noqa: S101
    amount, name = _money(outcome.amount, settings), _name(outcome.recipient)
    did = gettext("Sent {amount} to {name}.", amount=amount, name=name)
    return _moved(did, outcome, outcome.sender_balance, settings)


def decided_in_group(outcome: DecisionOutcome, settings: Settings) -> str:
    """What the whole group reads: who sent whom how much, and nobody's balance."""
    if not money_moved(outcome):
        return decided(outcome, settings) if not is_private(outcome) else gettext("No money was sent.")
    assert outcome.sender is not None and outcome.recipient is not None and outcome.amount is not None  # noqa: S101
    return gettext(
        "{sender} sent {recipient} {amount}.",
        sender=_name(outcome.sender),
        recipient=_name(outcome.recipient),
        amount=_money(outcome.amount, settings),
    )


def is_private(outcome: DecisionOutcome) -> bool:
    """Whether the sender's answer tells of their balance."""
    return money_moved(outcome) or outcome.reason is RejectionReason.INSUFFICIENT_FUNDS


def cancelled(count: int) -> str:
    if count == 0:
        return gettext("You have no transfer waiting to be confirmed, so there is nothing to cancel.")
    return ngettext(
        "Your transfer was cancelled. No money was sent.",
        "Your {count} transfers were cancelled. No money was sent.",
        count,
    )


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
    assert outcome.sender is not None and outcome.amount is not None  # noqa: S101
    amount, name = _money(outcome.amount, settings), _name(outcome.sender)
    did = gettext("{name} sent you {amount}.", name=name, amount=amount)
    return _moved(did, outcome, outcome.recipient_balance, settings)


def _moved(did: str, outcome: DecisionOutcome, balance_after: int | None, settings: Settings) -> str:
    assert balance_after is not None  # noqa: S101
    return f"{did}{_memo(outcome.memo or '')}\n{your_balance_is(balance_after, settings)}"


def history(page: HistoryPage, settings: Settings) -> str:
    others = _other_histories(settings)
    if not page.entries:
        return joined(gettext("You have no transactions yet."), others)
    lines = [_entry(entry, settings) for entry in page.entries]
    times = gettext("Times are {zone}.", zone=zone(settings.timezone).key)
    told = f"{your_balance_is(page.balance, settings, page.held)} {times}\n\n" + "\n".join(lines)
    return f"{told}\n\n{others}" if others else told


def _other_histories(settings: Settings) -> str:
    """settings -- in the currency that is shown."""
    commands = ", ".join(f"{called('history')} {each.code}" for each in settings.currencies)
    return gettext("Other currencies: {commands}", commands=commands) if commands else ""


def _entry(entry: HistoryEntry, settings: Settings) -> str:
    """When, how much, and with whom or what for."""
    sign = "+" if entry.amount > 0 else "−"
    amount = formatted_amount(abs(entry.amount), settings.currency_exponent, settings.currency)
    if entry.kind in {"exchange_given", "exchange_got"}:
        with_whom = gettext("exchange")
    elif entry.counterparty is None:
        with_whom = gettext("credit") if entry.amount > 0 else gettext("debit")
    elif entry.amount > 0:
        with_whom = pgettext("history", "from {name}", name=_name(entry.counterparty))
    else:
        with_whom = pgettext("history", "to {name}", name=_name(entry.counterparty))
    said = quoted(entry.memo, MEMO_SHOWN_MAX)
    memo = f" · {said}" if said else ""
    when = day_and_time(entry.created_at, zone(settings.timezone))
    line = pgettext(
        "history",
        "{when} {amount} {with_whom}",
        when=when,
        amount=f"<b>{sign}{amount}</b>",
        with_whom=with_whom,
    )
    return f"{line}{memo}"


def history_buttons(
    page: HistoryPage, telegram_id: int, page_length: int, currency: str | None = None
) -> Sequence[Sequence[Button]]:
    """currency -- None for the first."""
    if not page.entries or not INSTALLED.has_button("history"):
        return []
    newest_shown, oldest_shown = page.entries[0].version, page.entries[-1].version
    row = []
    if newest_shown < page.newest_version:
        newer = min(page.newest_version, newest_shown + page_length)
        row.append(
            Button(
                text=button_label("history", NEWER), data=button_data.history(telegram_id, newer, currency)
            )
        )
    if oldest_shown > 1:
        row.append(
            Button(
                text=button_label("history", OLDER),
                data=button_data.history(telegram_id, oldest_shown - 1, currency),
            )
        )
    return [row] if row else []


def failed(reference: str) -> str:
    return joined(
        gettext(
            "Sorry, something went wrong on our side. If you contact support, quote reference {reference}.",
            reference=reference,
        ),
        mention("history", "Send {command} to see whether money was moved."),
    )
