"""An operator's acts from the command line: what they are shown first, and the result, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from ballast.people import orders
from ballast.queueing import outbox_relay
from ballast.texts import gettext, gettext_noop, said
from ballast.texts.columns import labelled
from ballast.texts.phrases import in_quotation_marks
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import UserRef
from dbcore.money import MAX_AMOUNT, Money, format_amount
from dbcore.outcomes import OutcomeStatus, Party, RejectionReason
from dbcore.people import card, lists
from dbcore.people.acts import Act, Direction, StatusOutcome
from dbcore.people.approvals import Approval, ApprovalRefused
from dbcore.people.person import Person
from dbcore.people.reasons import in_words
from dbcore.settings import Settings
from dbcore.text import one_line

_DECISIONS = {
    "waiting": gettext_noop("waiting"),
    "approved": gettext_noop("approved"),
    "declined": gettext_noop("declined"),
    "refused": gettext_noop("refused"),
    "expired": gettext_noop("expired"),
}


class NotDone(Exception):
    """It was refused, or nobody agreed to it. The message says so in a sentence."""


@dataclass(frozen=True, slots=True)
class Reversible:
    """What of a transfer is to be reversed. lines -- what the operator is shown."""

    amount: int
    lines: list[str]


class Doing:
    """Raises NotDone, and what dbcore.people.acts raises."""

    def __init__(self, engine: GuardedEngine, settings: Settings) -> None:
        self.settings = settings
        self._engine = engine

    def person(self, ref: UserRef) -> Person:
        found = card.find(self._engine, ref)
        if found is None:
            raise NotDone(
                gettext(
                    "nobody is called {name} here; they have to send the bot {command} first",
                    name=ref,
                    command="/start",
                )
            )
        return found

    def described(self, person: Person) -> str:
        handle = f"@{one_line(person.username)}" if person.username else gettext("no username")
        name = in_quotation_marks(person.first_name, 64) or gettext("(no name)")
        return f"{name}, {handle}, ID {person.telegram_id}"

    def adjustment(self, person: Person, minor: int, currency: str) -> list[str]:
        has = person.balance_in(currency).balance
        return labelled(
            [
                (gettext("Balance now:"), self._money(has, currency)),
                (gettext("Balance after:"), self._money(has + minor, currency)),
            ],
            gap=1,
        )

    def reversible(self, number: int, asked: Money | None, key: str | None) -> Reversible:
        """asked -- None: as much as can be, or as the reversal of the same key was. Of the first currency if none was
        named, so that is to be that of the transfer.
        """
        before = None if key is None else lists.transfer_of_key(self._engine, key)
        amount = None if asked is None else asked.minor
        if before is not None:
            done = gettext("Reversed before, by transfer {number}", number=str(before.id))
            return Reversible(amount or before.amount, [done])
        made = lists.transfer(self._engine, number)
        left = lists.left_to_reverse(self._engine, number)
        if made is None or left is None:
            raise NotDone(gettext("there is no transfer {number}", number=str(number)))
        currency = made.currency
        if asked is not None and asked.currency.code != currency:
            raise NotDone(
                gettext(
                    "transfer {number} is in {currency}, not in {other}",
                    number=str(number),
                    currency=currency,
                    other=asked.currency.code,
                )
            )
        if amount is None:
            has = self._available(made.recipient, currency)
            amount = left if has is None else min(left, has)
        if left <= 0:
            raise NotDone(
                gettext(
                    "transfer {number} cannot be reversed: all of it was reversed already", number=str(number)
                )
            )
        if amount <= 0:
            raise NotDone(
                gettext(
                    "transfer {number} cannot be reversed: its recipient has nothing left", number=str(number)
                )
            )
        what = gettext(
            "Transfer {number} of {time}: {amount}, {kind}, from {sender} to {recipient}",
            number=str(number),
            time=f"{made.created_at:%Y-%m-%d %H:%M}",
            amount=self._money(made.amount, currency),
            kind=made.kind,
            sender=named(made.sender),
            recipient=named(made.recipient),
        )
        amounts = labelled(
            [
                (gettext("Not reversed yet:"), self._money(left, currency)),
                (gettext("To be reversed:"), self._money(amount, currency)),
            ],
            gap=1,
        )
        return Reversible(amount, [what, *amounts])

    def adjust(self, act: Act, target: UserRef, minor: int, currency: str) -> str:
        outcome = orders.adjust(self._engine, act, target=target, amount=minor, currency=currency)
        if outcome.reason is not None or outcome.balance_after is None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        amount, number = self._money(abs(minor), currency), str(outcome.transfer_id)
        then = self._money(outcome.balance_after, currency)
        if minor > 0:
            done = gettext(
                "credited {amount}, transfer {number}; balance then {balance}",
                amount=amount,
                number=number,
                balance=then,
            )
        else:
            done = gettext(
                "debited {amount}, transfer {number}; balance then {balance}",
                amount=amount,
                number=number,
                balance=then,
            )
        return _done(done, outcome.status)

    def reverse(self, act: Act, number: int, amount: int) -> str:
        if amount > MAX_AMOUNT:
            raise NotDone(_refused(RejectionReason.AMOUNT_TOO_LARGE))
        outcome = orders.reverse(self._engine, act, transfer_id=number, amount=amount)
        if outcome.reason is not None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        moved, left = (self._money(minor, outcome.currency) for minor in (amount, outcome.left or 0))
        done = gettext(
            "reversed {amount} of transfer {number} by transfer {reversal}; {left} of it not reversed",
            amount=moved,
            number=str(number),
            reversal=str(outcome.transfer_id),
            left=left,
        )
        return _done(done, outcome.status)

    def freeze(self, act: Act, target: UserRef, refuses: Direction) -> str:
        return self._said(
            orders.freeze(self._engine, act, target=target, refuses=refuses),
            gettext("frozen"),
            gettext("nothing to do: frozen already"),
        )

    def unfreeze(self, act: Act, target: UserRef) -> str:
        return self._said(
            orders.unfreeze(self._engine, act, target=target),
            gettext("unfrozen"),
            gettext("nothing to do: unfrozen already"),
        )

    def message(self, act: Act, target: UserRef) -> str:
        return self._said(
            orders.message(self._engine, act, target=target),
            gettext("sent"),
            gettext("nothing to do: sent already"),
        )

    def erase(self, act: Act, target: UserRef) -> str:
        return self._said(
            orders.erase(self._engine, act, target=target),
            gettext("erased"),
            gettext("nothing to do: erased already"),
        )

    def approval(self, found: Approval) -> str:
        """A line, of what was asked for and what became of it."""
        asked = {
            "amount": self._money(abs(found.amount), found.currency),
            "id": str(found.telegram_id),
            "name": found.actor,
            "time": f"{found.created_at:%Y-%m-%d %H:%M}",
            "reason": one_line(found.reason),
        }
        if found.amount > 0:
            line = gettext("credit {amount}, user {id}, asked by {name} at {time}: “{reason}”", **asked)
        else:
            line = gettext("debit {amount}, user {id}, asked by {name} at {time}: “{reason}”", **asked)
        state = gettext(_DECISIONS[found.status])
        if found.decided_by:
            state = gettext("{state} by {name}", state=state, name=one_line(found.decided_by))
        return f"{line}; {state}"

    def decide(self, decision: Act, number: int, *, approve: bool) -> str:
        try:
            answer = orders.decide(self._engine, decision, approval_id=number, approve=approve)
        except ApprovalRefused as refused:
            raise NotDone(said(refused)) from None
        if answer is None:
            raise NotDone(gettext("there is no approval {number}", number=str(number)))
        outbox_relay.ask_from_outside(self.settings)
        if answer.approval.refusal is not None:
            raise NotDone(_refused(answer.approval.refusal))
        return self.approval(answer.approval)

    def _said(self, outcome: StatusOutcome, done: str, already: str) -> str:
        if outcome.reason is not None:
            raise NotDone(_refused(outcome.reason))
        if outcome.status is OutcomeStatus.REPLAYED:
            return _done(done, outcome.status)
        outbox_relay.ask_from_outside(self.settings)
        return done if outcome.changed else already

    def _available(self, party: Party | None, currency: str) -> int | None:
        """None for a system account."""
        if party is None:
            return None
        found = card.find(self._engine, UserRef(telegram_id=party.telegram_id))
        if found is None:
            return None
        has = found.balance_in(currency)
        return max(0, has.balance - has.held)

    def _money(self, minor: int, currency: str) -> str:
        settings = self.settings.in_currency(currency)
        return format_amount(minor, settings.currency_exponent, settings.currency)


def _done(done: str, status: OutcomeStatus) -> str:
    """Whether now, or by an earlier order of the same key."""
    if status is OutcomeStatus.REPLAYED:
        return gettext("done before, by the same key: {done}", done=done)
    return done


def named(party: Party | None) -> str:
    """A system account is nobody."""
    if party is None:
        return gettext("the house")
    return f"@{one_line(party.username)}" if party.username else f"ID {party.telegram_id}"


def _refused(reason: RejectionReason | None) -> str:
    return gettext("refused, and nothing was changed: {why}", why=said(in_words(reason or "")))
