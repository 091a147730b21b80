"""One person's money as simply as it can be told: what the ledger must answer to each step of a history."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ModelHold:
    amount: int
    state: str = "open"
    is_over: bool = False


@dataclass(frozen=True)
class Answer:
    """What a step is answered. reason -- None: it was done."""

    reason: str | None
    replayed: bool = False

    @property
    def status(self) -> str:
        if self.reason is not None:
            return "rejected"
        return "replayed" if self.replayed else "applied"


DONE = Answer(None)
SHORT = Answer("insufficient_funds")


@dataclass
class Model:
    """balance -- the person's, posted. friend -- of whom they send to."""

    balance: int = 0
    friend: int = 0
    holds: list[ModelHold] = field(default_factory=list)
    charges: dict[int, int] = field(default_factory=dict)
    refunded: set[int] = field(default_factory=set)

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.holds if hold.state == "open")

    @property
    def available(self) -> int:
        return self.balance - self.held

    def end_what_is_over(self) -> None:
        for hold in self.holds:
            if hold.state == "open" and hold.is_over:
                hold.state = "expired"

    def _can_take(self, amount: int) -> bool:
        if self.available < amount:
            self.end_what_is_over()
        return self.available >= amount

    def credit(self, amount: int) -> Answer:
        self.balance += amount
        return DONE

    def debit(self, amount: int) -> Answer:
        if not self._can_take(amount):
            return SHORT
        self.balance -= amount
        return DONE

    def send(self, amount: int) -> Answer:
        answer = self.debit(amount)
        self.friend += amount if answer is DONE else 0
        return answer

    def hold(self, amount: int) -> Answer:
        if not self._can_take(amount):
            return SHORT
        self.holds.append(ModelHold(amount))
        return DONE

    def post(self, number: int, amount: int | None, *, to_friend: bool) -> Answer:
        hold = self.holds[number]
        if (refused := self._not_open(hold)) is not None:
            return refused
        taken = hold.amount if amount is None else amount
        if taken > hold.amount:
            return Answer("more_than_held")
        hold.state = "posted"
        self._can_take(taken)  # it is taken anyway, but what is over ends if it is short
        self.balance -= taken
        self.friend += taken if to_friend else 0
        return DONE

    def void(self, number: int) -> Answer:
        hold = self.holds[number]
        if (refused := self._not_open(hold)) is None:
            hold.state = "voided"
        return refused or DONE

    def _not_open(self, hold: ModelHold) -> Answer | None:
        if hold.state == "open" and hold.is_over:
            self.end_what_is_over()
        reasons = {"open": None, "posted": "already_posted", "voided": "already_voided", "expired": "expired"}
        reason = reasons[hold.state]
        return None if reason is None else Answer(reason)

    def pay(self, charge: int, stars: int) -> Answer:
        is_known = charge in self.charges
        if not is_known:
            self.charges[charge] = stars
            self.balance += stars
        return Answer(None, replayed=is_known)

    def refund(self, charge: int, stars: int) -> Answer:
        """Taken back whatever is there, and whatever is held."""
        self.pay(charge, stars)
        is_known = charge in self.refunded
        if not is_known:
            self.refunded.add(charge)
            self._can_take(stars)
            self.balance -= stars
        return Answer(None, replayed=is_known)
