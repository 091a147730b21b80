"""An operator's acts from the command line: what they are shown first, and the result, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from ballast import outbox_relay
from ballast.people import orders
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.users import UserRef
from dbcore.money import MAX_AMOUNT, format_amount
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

    def adjustment(self, person: Person, minor: int) -> list[str]:
        return [
            f"Balance now:   {self._money(person.balance)}",
            f"Balance after: {self._money(person.balance + minor)}",
        ]

    def reversible(self, number: int, amount: int | None, key: str | None) -> Reversible:
        """amount -- None: as much as can be, or as the reversal of the same key was."""
        before = None if key is None else lists.transfer_of_key(self._engine, key)
        if before is not None:
            return Reversible(amount or before.amount, [f"Reversed before, by transfer {before.id}"])
        made = lists.transfer(self._engine, number)
        left = lists.left_to_reverse(self._engine, number)
        if made is None or left is None:
            raise NotDone(f"there is no transfer {number}")
        if amount is None:
            has = self._available(made.recipient)
            amount = left if has is None else min(left, has)
        if amount <= 0:
            why = "all of it was reversed already" if left <= 0 else "its recipient has nothing left"
            raise NotDone(f"transfer {number} cannot be reversed: {why}")
        lines = [
            f"Transfer {number} of {made.created_at:%Y-%m-%d %H:%M}: {self._money(made.amount)}, {made.kind}, "
            f"from {named(made.sender)} to {named(made.recipient)}",
            f"Not reversed yet: {self._money(left)}",
            f"To be reversed:   {self._money(amount)}",
        ]
        return Reversible(amount, lines)

    def adjust(self, act: Act, target: UserRef, minor: int) -> str:
        outcome = orders.adjust(self._engine, act, target=target, amount=minor)
        if outcome.reason is not None or outcome.balance_after is None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        did = "credited" if minor > 0 else "debited"
        return (
            f"{_before(outcome.status)}{did} {self._money(abs(minor))}, transfer {outcome.transfer_id}; "
            f"balance then {self._money(outcome.balance_after)}"
        )

    def reverse(self, act: Act, number: int, amount: int) -> str:
        if amount > MAX_AMOUNT:
            raise NotDone(_refused(RejectionReason.AMOUNT_TOO_LARGE))
        outcome = orders.reverse(self._engine, act, transfer_id=number, amount=amount)
        if outcome.reason is not None:
            raise NotDone(_refused(outcome.reason))
        outbox_relay.ask_from_outside(self.settings)
        return (
            f"{_before(outcome.status)}reversed {self._money(amount)} of transfer {number} by transfer "
            f"{outcome.transfer_id}; {self._money(outcome.left or 0)} of it not reversed"
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
        return (
            f"{did} {self._money(abs(found.amount))}, user {found.telegram_id}, asked by {found.actor} at "
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

    def _available(self, party: Party | None) -> int | None:
        """None for a system account."""
        if party is None:
            return None
        found = card.find(self._engine, UserRef(telegram_id=party.telegram_id))
        return None if found is None else max(0, found.available)

    def _money(self, minor: int) -> str:
        return format_amount(minor, self.settings.currency_exponent, self.settings.currency)


def _before(status: OutcomeStatus) -> str:
    return "done before, by the same key: " if status is OutcomeStatus.REPLAYED else ""


def named(party: Party | None) -> str:
    """A system account is nobody."""
    if party is None:
        return "the house"
    return f"@{one_line(party.username)}" if party.username else f"ID {party.telegram_id}"


def _refused(reason: RejectionReason | None) -> str:
    return f"refused, and nothing was changed: {in_words(reason or '')}"
