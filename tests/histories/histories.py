"""Random histories of money that is moved, held and refunded, compared with a model after each step.

Many run side by side in one database, each with a person of its own: a step of all of them is a statement for each sort
of step.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.holds import sweep
from dbcore.ledger.users import Profile
from tests.histories.model import Answer, Model

STEPS = 12
AT_ONCE = 500
FRIENDS_FROM = 10**12
CHARGES = 2


@dataclass(frozen=True)
class Step:
    """key -- the ledger's. number -- of the hold or of the charge."""

    kind: str
    key: str
    amount: int | None = None
    number: int = 0
    to_friend: bool = False


@dataclass
class History:
    """One person's. hold_ids -- of the model's holds. answers -- of the steps that the ledger keeps, by their keys."""

    person: int
    chance: random.Random
    model: Model = field(default_factory=Model)
    hold_ids: list[int] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)

    def next(self) -> Step:
        if self.done and self.chance.random() < 0.12:
            return self.chance.choice(self.done)
        key, amount = f"h{self.person}-{len(self.done)}", self.chance.randint(1, 60)
        kinds = ["credit", "credit", "debit", "send", "hold", "hold", "pay", "refund"]
        if self.model.holds:
            kinds += ["post", "post", "post", "void", "void", "run out"]
        kind = self.chance.choice(kinds)
        if kind in {"pay", "refund"}:
            number = self.chance.randrange(CHARGES)
            return Step(kind, key, amount=20 * (number + 1), number=number)
        if kind in {"post", "void", "run out"}:
            number = self.chance.randrange(len(self.model.holds))
            return Step(
                kind,
                key,
                amount=self.chance.choice([None, None, amount]) if kind == "post" else None,
                number=number,
                to_friend=self.chance.random() < 0.5,
            )
        return Step(kind, key, amount=amount)

    def expected(self, step: Step) -> Answer:
        """The model's answer; of a key that is known, the first one's."""
        first = self.answers.get(step.key)
        if first is not None:
            return Answer(first.reason, replayed=first.reason is None)
        answer = self._by_model(step)
        is_kept = (
            answer.reason is None if step.kind in {"post", "void"} else step.kind not in {"pay", "refund"}
        )
        if is_kept and step.kind != "run out":
            self.answers[step.key] = answer
        return answer

    def _by_model(self, step: Step) -> Answer:
        amount = step.amount or 0
        match step.kind:
            case "credit":
                return self.model.credit(amount)
            case "debit":
                return self.model.debit(amount)
            case "send":
                return self.model.send(amount)
            case "hold":
                return self.model.hold(amount)
            case "post":
                return self.model.post(step.number, step.amount, to_friend=step.to_friend)
            case "void":
                return self.model.void(step.number)
            case "pay":
                return self.model.pay(step.number, amount)
            case "refund":
                return self.model.refund(step.number, amount)
            case _:
                hold = self.model.holds[step.number]
                hold.is_over = hold.is_over or hold.state == "open"
                return Answer(None)


Asked = list[tuple[History, Step]]

_ITEMS = "unnest(%s::text[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS i (key, person, amount, place)"
_ADJUST = (
    "SELECT d.r_status, d.r_reason, NULL::bigint FROM {items}, LATERAL ballast.ledger_adjust(i.key, i.key, i.person, "
    "NULL, {sign} i.amount, %s, '', 'test') AS d ORDER BY i.place"
)
_SEND = (
    "SELECT d.r_status, d.r_reason, NULL::bigint FROM {items}, LATERAL ballast.ledger_transfer(i.key, i.key, i.person, "
    f"{FRIENDS_FROM} + i.person, i.amount, %s, 'transfer', '') AS d ORDER BY i.place"
)
_HOLD = (
    "SELECT d.r_status, d.r_reason, d.r_hold_id FROM {items}, LATERAL ballast.ledger_hold(i.key, i.key, i.person, "
    "NULL, i.amount, %s, '', 'test', interval '1 day') AS d ORDER BY i.place"
)
_END = (
    "SELECT d.r_status, d.r_reason, NULL::bigint FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) "
    "WITH ORDINALITY AS i (key, hold_id, amount, friend, place), LATERAL ballast.ledger_end_hold(i.key, i.key, "
    "i.hold_id, %s, %s, i.amount, i.friend, NULL, 'test') AS d ORDER BY i.place"
)
_STARS = (
    "SELECT d.r_status, d.r_reason, NULL::bigint FROM {items}, LATERAL ballast.ledger_stars(%s, i.key, i.key, "
    "i.person, NULL, 'P', NULL, i.amount, i.amount, %s, '', now()) AS d ORDER BY i.place"
)
_RUN_OUT = (
    "WITH ended AS (UPDATE ballast.holds SET expires_at = created_at - interval '1 second' "
    "WHERE id = ANY(%s) AND status = 'open' RETURNING 1) SELECT count(*) FROM ended"
)
_FIGURES = (
    "SELECT u.telegram_id, a.balance, a.held, a.floor FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id "
    "WHERE u.telegram_id = ANY(%s)"
)


class Histories:
    """Raises AssertionError, which names the history's seed, where the ledger and the model differ."""

    def __init__(self, engine: GuardedEngine) -> None:
        self._engine = engine
        self._ask: dict[str, Callable[[Asked], list[tuple[Any, ...]]]] = {
            "credit": lambda asked: self._items(_ADJUST, asked, sign=""),
            "debit": lambda asked: self._items(_ADJUST, asked, sign="-"),
            "send": lambda asked: self._items(_SEND, asked),
            "hold": lambda asked: self._items(_HOLD, asked),
            "post": lambda asked: self._end(asked, post=True),
            "void": lambda asked: self._end(asked, post=False),
            "pay": lambda asked: self._stars(asked, refunded=False),
            "refund": lambda asked: self._stars(asked, refunded=True),
            "run out": self._run_out,
        }
        self.seen: Counter[str] = Counter()

    def run(self, seed: int, count: int) -> None:
        for first in range(0, count, AT_ONCE):
            people = range(first + 1, min(first + AT_ONCE, count) + 1)
            self._run([History(person, random.Random(f"{seed}:{person}")) for person in people])

    def _run(self, histories: list[History]) -> None:
        profiles = [
            Profile(person, None, "P") for h in histories for person in (h.person, FRIENDS_FROM + h.person)
        ]
        users.get_or_create_many(self._engine, profiles=profiles)
        for _ in range(STEPS):
            asked: dict[str, Asked] = defaultdict(list)
            for history in histories:
                step = history.next()
                asked[step.kind].append((history, step))
            for kind, steps in asked.items():
                self._compare(kind, steps)
            self._compare_figures(histories)
        while sweep(self._engine):
            pass
        for history in histories:
            history.model.end_what_is_over()
        self._compare_figures(histories)

    def _compare(self, kind: str, asked: Asked) -> None:
        answers = self._ask[kind](asked)
        for (history, step), (status, reason, hold_id) in zip(asked, answers, strict=True):
            held = len(history.model.holds)
            expected = history.expected(step)
            assert (status, reason) == (expected.status, expected.reason), (
                history.person,
                step,
                history.done,
            )
            if len(history.model.holds) > held:
                history.hold_ids.append(hold_id)
            if step not in history.done:
                history.done.append(step)
            self.seen[f"{kind}: {reason or status}"] += 1

    def _compare_figures(self, histories: list[History]) -> None:
        expected = {}
        for history in histories:
            model = history.model
            expected[history.person] = (model.balance, model.held, min(0, model.available))
            expected[FRIENDS_FROM + history.person] = (model.friend, 0, 0)
        rows = self._engine.fetch_rows(_FIGURES, ([*expected],), name="test.figures", writes=False)
        there = {person: (balance, held, floor) for person, balance, held, floor in rows}
        if there != expected:
            person = next(person for person in expected if there.get(person) != expected[person])
            done = next(h.done for h in histories if person in {h.person, FRIENDS_FROM + h.person})
            raise AssertionError(f"{person}: {there.get(person)}, expected {expected[person]} after {done}")

    def _items(self, statement: str, asked: Asked, *more: Any, sign: str = "") -> list[tuple[Any, ...]]:
        keys = [_key(history, step) for history, step in asked]
        people, amounts = [history.person for history, _ in asked], [step.amount for _, step in asked]
        sql = statement.format(items=_ITEMS, sign=sign)
        return self._rows(sql, (keys, people, amounts, *more, self._engine.currency))

    def _stars(self, asked: Asked, *, refunded: bool) -> list[tuple[Any, ...]]:
        """Its parameters stand in another order: what is booked comes before the currency."""
        return self._items(_STARS, asked, refunded)

    def _end(self, asked: Asked, *, post: bool) -> list[tuple[Any, ...]]:
        columns = (
            [step.key for _, step in asked],
            [history.hold_ids[step.number] for history, step in asked],
            [step.amount for _, step in asked],
            [FRIENDS_FROM + history.person if step.to_friend and post else None for history, step in asked],
        )
        return self._rows(_END, (*columns, self._engine.currency, post))

    def _run_out(self, asked: Asked) -> list[tuple[Any, ...]]:
        self._rows(_RUN_OUT, ([history.hold_ids[step.number] for history, step in asked],))
        return [("applied", None, None)] * len(asked)

    def _rows(self, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self._engine.fetch_rows(statement, parameters, name="test.step", deadline_seconds=60)


def _key(history: History, step: Step) -> str:
    """A charge has one key, whatever is said of it."""
    return f"c{history.person}-{step.number}" if step.kind in {"pay", "refund"} else step.key
