"""What admins read of people in the chat: the card, its lists and its questions. Names and memos are made harmless by
ballast/texts/phrases.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from ballast.apps.command_names import leave
from ballast.builtin.transfers import OLDER
from ballast.texts import gettext, said
from ballast.texts.formats import day, day_and_time, number, zone
from ballast.texts.phrases import escape, first_name, identified, memo_line, money, name, quoted, shown
from ballast.texts.speech import pgettext
from dbcore.outcomes import Party, ReversalOutcome
from dbcore.people.acts import Direction
from dbcore.people.lists import ListedTransfer
from dbcore.people.movements import Movement, MovementsPage
from dbcore.people.person import Person
from dbcore.people.reasons import in_words
from dbcore.people.refusals import Refused
from dbcore.settings import Settings
from dbcore.text import one_line

MEMO_SHOWN_MAX = 40
WHY_SHOWN_MAX = 160
CHOICE_LENGTH_MAX = 60


def nobody(query: str) -> str:
    return gettext("I found nobody by {text}.", text=quoted(query, 60) or "“”")


def which() -> str:
    return gettext("Who do you mean?")


def choice(person: Person) -> str:
    """Of a button, which is no HTML."""
    handle = f"@{person.username}" if person.username else str(person.telegram_id)
    return one_line(f"{person.first_name} · {handle}", CHOICE_LENGTH_MAX)


def card(person: Person, party: Party, found: Sequence[Refused], waiting: int, settings: Settings) -> str:
    """found -- what failed last, if anything. waiting -- transfers that they were asked to confirm."""
    lines = [f"<b>{first_name(party)}</b>", identified(party)]
    lines.append(gettext("Balance now: {amount}", amount=money(person.balance, settings)))
    if person.held:
        lines.append(gettext("Available: {amount}", amount=money(person.available, settings)))
    for each in person.balances[1:]:
        others = settings.in_currency(each.currency)
        lines.append(gettext("Balance now: {amount}", amount=money(each.balance, others)))
    if person.receiving_frozen:
        lines.append(gettext("Frozen: sends and receives nothing."))
    elif person.sending_frozen:
        lines.append(gettext("Frozen: sends nothing."))
    if person.status.value != "active":
        lines.append(gettext("The bot's messages do not reach them."))
    here = zone(settings.timezone)
    seen = "–" if person.last_seen_at is None else day(person.last_seen_at.astimezone(here))
    lines.append(
        gettext(
            "First seen {first}, last seen {last}.",
            first=day(person.first_seen_at.astimezone(here)),
            last=seen,
        )
    )
    if language := person.language or person.language_code:
        lines.append(gettext("Language: {language}", language=escape(language)))
    lines.append(gettext("Transactions: {count}", count=number(person.version)))
    if waiting:
        lines.append(gettext("Waiting for their confirmation: {count}", count=number(waiting)))
    if found:
        lines.append(gettext("Failed last: {what}", what=_failure(found[0], settings)))
    return "\n".join(lines)


def movements(person: Person, page: MovementsPage, settings: Settings) -> str:
    lines = [_movement(each, settings) for each in page.movements] or [gettext("There is nothing here.")]
    return f"{money(person.balance, settings)}\n\n" + "\n".join(lines)


def _movement(made: Movement, settings: Settings) -> str:
    when = day_and_time(made.created_at, zone(settings.timezone))
    sign = "+" if made.amount > 0 else "−"
    amount = f"{sign}{money(abs(made.amount), settings)}"
    parts = [f"#{made.transfer_id} · {when} · {amount}"]
    if made.kind in {"exchange_given", "exchange_got"}:
        parts.append(gettext("exchange"))
    elif made.counterparty is None:
        parts.append(gettext("credit") if made.amount > 0 else gettext("debit"))
    elif made.amount > 0:
        parts.append(pgettext("history", "from {name}", name=name(made.counterparty)))
    else:
        parts.append(pgettext("history", "to {name}", name=name(made.counterparty)))
    if made.reverses is not None:
        parts.append(f"↩ #{made.reverses}")
    if made.reversed_amount:
        parts.append(f"↩ {money(made.reversed_amount, settings)}")
    if memo := quoted(made.memo, MEMO_SHOWN_MAX):
        parts.append(memo)
    return " · ".join(parts)


def may_be_reversed(made: Movement) -> bool:
    is_final = made.kind in {
        "reversal",
        "star_payment",
        "star_refund",
        "provider_payment",
        "provider_refund",
        "exchange_given",
        "exchange_got",
    }
    return not is_final and made.reversed_amount < abs(made.amount)


def failures(person: Person, found: Sequence[Refused], settings: Settings) -> str:
    lines = [_failure(each, settings) for each in found] or [gettext("There is nothing here.")]
    return f"{name(Party(person.telegram_id, person.username, person.first_name))}\n\n" + "\n".join(lines)


def _failure(each: Refused, settings: Settings) -> str:
    parts = [day_and_time(each.failed_at, zone(settings.timezone))]
    if each.what == "job":
        parts.append(f"<code>{escape(each.number)}</code>")
    if each.amount is not None:
        parts.append(money(each.amount, settings.in_currency(each.currency)))
    if each.counterparty is not None:
        parts.append(name(each.counterparty))
    why = each.why
    parts.append(shown(why, WHY_SHOWN_MAX) if isinstance(why, str) else said(why))
    return " · ".join(parts)


def how_much(party: Party, *, is_credit: bool) -> str:
    """Of a question, which is no HTML."""
    whom = _plain(party)
    asked = (
        gettext("How much do you want to credit to {name}?", name=whom)
        if is_credit
        else gettext("How much do you want to debit from {name}?", name=whom)
    )
    return asked + leave()


def why_as_they_read_it() -> str:
    return gettext("Why? They will read it, and it is kept in the audit log.") + leave()


def why() -> str:
    return gettext("Why? It is kept in the audit log.") + leave()


def what_to_say(party: Party) -> str:
    return gettext("What do you want to tell {name}?", name=_plain(party)) + leave()


def freeze_question(party: Party, reason: str, *, is_frozen: bool, refuses: Direction) -> str:
    whom = first_name(party)
    if not is_frozen:
        asked = gettext("Unfreeze the account of {name}?", name=whom)
    elif refuses == "everything":
        asked = gettext("Freeze the account of {name}? It will neither send nor receive money.", name=whom)
    else:
        asked = gettext("Freeze the account of {name}? It will receive money, but not send any.", name=whom)
    return f"{asked}\n{identified(party)}{memo_line(reason)}"


def message_question(party: Party, text: str) -> str:
    asked = gettext("Send this to {name}?", name=first_name(party))
    return f"{asked}\n{identified(party)}{memo_line(text)}"


def message_sent(party: Party) -> str:
    return gettext("Sent to {name}.", name=name(party))


def reversal_question(made: ListedTransfer, amount: int, left: int, reason: str, settings: Settings) -> str:
    settings = settings.in_currency(made.currency)
    lines = [
        gettext("Reverse transfer {number}?", number=f"#{made.id}"),
        gettext("{amount} goes back from {payer} to {payee}.", amount=money(amount, settings),
                payer=_side(made.recipient), payee=_side(made.sender)),
    ]  # fmt: skip
    if left != amount:
        lines.append(gettext("Not reversed yet: {amount}", amount=money(left, settings)))
    return "\n".join(lines) + memo_line(reason)


def not_reversible(transfer: int) -> str:
    return gettext("Nothing of transfer {number} can be reversed now.", number=f"#{transfer}")


def reversed_(outcome: ReversalOutcome, settings: Settings) -> str:
    if outcome.reason is not None:
        why_not = in_words(outcome.reason.value)
        return f"{not_reversible(outcome.reverses_id)} {shown(why_not) if isinstance(why_not, str) else said(why_not)}"
    return gettext(
        "Reversed {amount} of transfer {number} by transfer {new}.",
        amount=money(outcome.amount, settings.in_currency(outcome.currency)),
        number=f"#{outcome.reverses_id}",
        new=f"#{outcome.transfer_id}",
    )


def _side(party: Party | None) -> str:
    return gettext("the house") if party is None else name(party)


def _plain(party: Party) -> str:
    return f"@{party.username}" if party.username else str(party.telegram_id)


def transactions() -> str:
    return gettext("Transactions")


def subscriptions() -> str:
    return gettext("Subscriptions")


def failed_requests() -> str:
    return gettext("Failures")


def credit() -> str:
    return gettext("Credit")


def debit() -> str:
    return gettext("Debit")


def freeze() -> str:
    return gettext("Freeze")


def unfreeze() -> str:
    return gettext("Unfreeze")


def message() -> str:
    return gettext("Message")


def back() -> str:
    return gettext("Back")


def older() -> str:
    return gettext(OLDER)
