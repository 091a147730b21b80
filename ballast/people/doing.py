"""An operator's acts from the command line: what they are shown first, and the result, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from ballast.people import orders
from ballast.queueing import outbox_relay
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
            raise NotDone(f"nobody is called {ref} here; they have to send the bot /start first")
        return found

    def described(self, person: Person) -> str:
        handle = f"@{one_line(person.username)}" if person.username else "no username"
        name = one_line(person.first_name, 64) or "(no name)"
        return f"{name}, {handle}, ID {person.telegram_id}"

    def adjustment(self, person: Person, minor: int, currency: str) -> list[str]:
        has = person.balance_in(currency).balance
        return [
            f"Balance now:   {self._money(has, currency)}",
            f"Balance after: {self._money(has + minor, currency)}",
        ]

    def reversible(self, number: int, asked: Money | None, key: str | None) -> Reversible:
        """asked -- None: as much as can be, or as the reversal of the same key was. Of the first currency if none was
        named, so that is to be that of the transfer.
        """
        before = None if key is None else lists.transfer_of_key(self._engine, key)
        amount = None if asked is None else asked.minor
        if before is not None:
            return Reversible(amount or before.amount, [f"Reversed before, by transfer {before.id}"])
        made = lists.transfer(self._engine, number)
        left = lists.left_to_reverse(self._engine, number)
        if made is None or left is None:
            raise NotDone(f"there is no transfer {number}")
        currency = made.currency
        if asked is not None and asked.currency.code != currency:
            raise NotDone(f"transfer {number} is in {currency}, not in {asked.currency.code}")
        if amount is None:
            has = self._available(made.recipient, currency)
            amount = left if has is None else min(left, has)
        if amount <= 0:
            why = "all of it was reversed already" if left <= 0 else "its recipient has nothing left"
            raise NotDone(f"transfer {number} cannot be reversed: {why}")
        lines = [
            f"Transfer {number} of {made.created_at:%Y-%m-%d %H:%M}: {self._money(made.amount, currency)}, "
            f"{made.kind}, from {named(made.sender)} to {named(made.recipient)}",
            f"Not reversed yet: {self._money(left, currency)}",
            f"To be reversed:   {self._money(amount, currency)}",
        ]
        return Reversible(amount, lines)

    def adjust(self, act: Act, target: UserRef, minor: int, currency: str) -> str:
        outcome = orders.adjust(self._engine, act, target=target, amount=minor, currency=currency)
        if outcome.reason is not None or outcome.balance_after is None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        did = "credited" if minor > 0 else "debited"
        return (
            f"{_before(outcome.status)}{did} {self._money(abs(minor), currency)}, transfer "
            f"{outcome.transfer_id}; balance then {self._money(outcome.balance_after, currency)}"
        )

    def reverse(self, act: Act, number: int, amount: int) -> str:
        if amount > MAX_AMOUNT:
            raise NotDone(_refused(RejectionReason.AMOUNT_TOO_LARGE))
        outcome = orders.reverse(self._engine, act, transfer_id=number, amount=amount)
        if outcome.reason is not None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        moved, left = (self._money(minor, outcome.currency) for minor in (amount, outcome.left or 0))
        return (
            f"{_before(outcome.status)}reversed {moved} of transfer {number} by transfer {outcome.transfer_id}; "
            f"{left} of it not reversed"
        )

    def freeze(self, act: Act, target: UserRef, refuses: Direction) -> str:
        return self._said(orders.freeze(self._engine, act, target=target, refuses=refuses), "frozen")

    def unfreeze(self, act: Act, target: UserRef) -> str:
        return self._said(orders.unfreeze(self._engine, act, target=target), "unfrozen")

    def message(self, act: Act, target: UserRef) -> str:
        return self._said(orders.message(self._engine, act, target=target), "sent")

    def erase(self, act: Act, target: UserRef) -> str:
        return self._said(orders.erase(self._engine, act, target=target), "erased")

    def approval(self, found: Approval) -> str:
        """A line, of what was asked for and what became of it."""
        did = "credit" if found.amount > 0 else "debit"
        decided = f" by {one_line(found.decided_by)}" if found.decided_by else ""
        amount = self._money(abs(found.amount), found.currency)
        return (
            f"{did} {amount}, user {found.telegram_id}, asked by {found.actor} at "
            f"{found.created_at:%Y-%m-%d %H:%M}: “{one_line(found.reason)}”; {found.status}{decided}"
        )

    def decide(self, decision: Act, number: int, *, approve: bool) -> str:
        try:
            answer = orders.decide(self._engine, decision, approval_id=number, approve=approve)
        except ApprovalRefused as refused:
            raise NotDone(str(refused)) from None
        if answer is None:
            raise NotDone(f"there is no approval {number}")
        outbox_relay.ask_from_outside(self.settings)
        if answer.approval.refusal is not None:
            raise NotDone(_refused(answer.approval.refusal))
        return self.approval(answer.approval)

    def _said(self, outcome: StatusOutcome, done: str) -> str:
        if outcome.reason is not None:
            raise NotDone(_refused(outcome.reason))
        if outcome.status is OutcomeStatus.REPLAYED:
            return f"done before, by the same key: {done}"
        outbox_relay.ask_from_outside(self.settings)
        return done if outcome.changed else f"nothing to do: {done} already"

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


def _before(status: OutcomeStatus) -> str:
    return "done before, by the same key: " if status is OutcomeStatus.REPLAYED else ""


def named(party: Party | None) -> str:
    """A system account is nobody."""
    if party is None:
        return "the house"
    return f"@{one_line(party.username)}" if party.username else f"ID {party.telegram_id}"


def _refused(reason: RejectionReason | None) -> str:
    return f"refused, and nothing was changed: {in_words(reason or '')}"
