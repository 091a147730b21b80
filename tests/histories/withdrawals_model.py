"""One person's money as simply as it can be told, as it comes in by a provider and is withdrawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

PAYMENTS = 2
LIMIT = 40
LIMIT_PER_DAY = 90
AUTO = 15

Answer = str | None
"""Why not, or what is to be done or became of it; None: it was done."""


@dataclass
class ModelPayment:
    is_paid: bool = False
    is_refunded: bool = False
    dispute: Literal["none", "open", "won"] = "none"


@dataclass
class ModelWithdrawal:
    amount: int
    state: str = "pending"
    attempts: int = 0
    unanswered: set[int] = field(default_factory=set)


@dataclass
class Model:
    """Time stands still, but for requests: each has settled by the next step."""

    withdrawals: list[ModelWithdrawal] = field(default_factory=list)
    payments: list[ModelPayment] = field(default_factory=lambda: [ModelPayment() for _ in range(PAYMENTS)])
    spent: int = 0
    other_holds: int = 0
    is_frozen: bool = False
    refusals: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def worth(number: int) -> int:
        return 30 * (number + 1)

    @property
    def paid_out(self) -> int:
        return sum(each.amount for each in self.withdrawals if each.state == "paid")

    @property
    def balance(self) -> int:
        came_in = sum(
            self.worth(number)
            for number, each in enumerate(self.payments)
            if each.is_paid and not each.is_refunded and each.dispute != "open"
        )
        return came_in - self.spent - self.paid_out

    @property
    def held(self) -> int:
        open_ones = (each for each in self.withdrawals if each.state in {"held", "approved", "paying"})
        return self.other_holds + sum(each.amount for each in open_ones)

    @property
    def available(self) -> int:
        return self.balance - self.held

    @property
    def not_now(self) -> Answer:
        return "account_frozen" if self.is_frozen else "insufficient_funds" if self.available < 0 else None

    def deposit(self, number: int) -> Answer:
        self.payments[number].is_paid = True
        return None

    def refund(self, number: int) -> Answer:
        """Of one that is not known yet, it tells of both."""
        self.payments[number].is_paid = self.payments[number].is_refunded = True
        return None

    def dispute(self, number: int, state: Literal["open", "won"]) -> Answer:
        if self.payments[number].dispute != "won":
            self.payments[number].dispute = state
        return None

    def freeze(self) -> Answer:
        self.is_frozen = not self.is_frozen
        return None

    def spend(self, amount: int) -> Answer:
        if self.is_frozen:
            return "account_frozen"
        if self.available < amount:
            return "insufficient_funds"
        self.spent += amount
        return None

    def hold(self, amount: int) -> Answer:
        if self.is_frozen:
            return "account_frozen"
        if self.available < amount:
            return "insufficient_funds"
        self.other_holds += amount
        return None

    def _over_limit(self, amount: int) -> Answer:
        lately = sum(
            each.amount for each in self.withdrawals if each.state in {"held", "approved", "paying", "paid"}
        )
        if amount > LIMIT:
            return "over_limit"
        return "over_daily_limit" if amount > LIMIT_PER_DAY - lately else None

    def ask(self, amount: int) -> Answer:
        if self.is_frozen:
            return "account_frozen"
        if (refused := self._over_limit(amount)) is not None:
            return refused
        if amount > self.available:
            return "insufficient_funds"
        self.withdrawals.append(ModelWithdrawal(amount))
        return None

    def confirm(self, number: int) -> Answer:
        asked = self.withdrawals[number]
        if asked.state == "refused":
            return self.refusals[number]
        if asked.state != "pending":
            return None  # the same press again
        refused = self._over_limit(asked.amount)
        if refused is None and self.is_frozen:
            refused = "account_frozen"
        if refused is None and self.available < asked.amount:
            refused = "insufficient_funds"
        if refused is not None:
            asked.state = "refused"
            self.refusals[number] = refused
            return refused
        asked.state = "approved" if asked.amount <= AUTO else "held"
        return None

    def word(self, number: int, word: str) -> Answer:
        asked = self.withdrawals[number]
        if asked.state in {"pending", "refused"}:
            return "unknown_withdrawal"
        if asked.state in {"paid", "returned"}:
            return "withdrawal_ended"
        if word == "approve":
            refused = "already_approved" if asked.state != "held" else self.not_now
            if refused is None:
                asked.state = "approved"
            return refused
        if word == "decline" and asked.state == "paying":
            return "payout_under_way"
        if word in {"paid", "unpaid"} and asked.state != "paying":
            return "not_approved"
        asked.state = "paid" if word == "paid" else "returned"
        return None

    def begin(self, number: int, *, absent: bool) -> Answer:
        """absent -- the provider was asked, and knows nothing of it."""
        asked = self.withdrawals[number]
        if asked.state == "paying" and not absent:
            return "ask"
        if asked.state not in {"approved", "paying"}:
            return "wait"
        if self.not_now == "insufficient_funds" and asked.attempts == 0:
            asked.state = "returned"
            return "returned"
        if self.not_now is not None:
            return "wait"
        asked.state = "paying"
        asked.attempts += 1
        asked.unanswered.add(asked.attempts)
        return "pay"

    def answer(self, number: int, said: str, attempt: int) -> Answer:
        asked = self.withdrawals[number]
        if asked.state != "paying":
            return asked.state
        if said == "paid":
            asked.state = "paid"
        else:
            asked.unanswered.discard(attempt)
            if not asked.unanswered:
                asked.state = "returned"
        return asked.state
