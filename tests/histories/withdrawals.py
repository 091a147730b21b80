"""Random histories of money that comes in by a provider and is withdrawn, compared with a model after each step.

As tests/histories/histories.py: many side by side, each with a person of its own, a statement for each sort of step.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from dbcore.ledger.users import Profile
from tests.histories.withdrawals_model import AUTO, LIMIT, LIMIT_PER_DAY, PAYMENTS, Answer, Model

STEPS = 20
AT_ONCE = 500


@dataclass(frozen=True)
class Step:
    """number -- of the payment, of the withdrawal, or nothing's. attempt -- whose answer it is."""

    kind: str
    amount: int = 0
    number: int = 0
    attempt: int = 0


@dataclass
class History:
    """One person's. tokens, ids -- of the model's withdrawals."""

    person: int
    chance: random.Random
    model: Model = field(default_factory=Model)
    tokens: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)

    def next(self) -> Step:
        if self.done and self.chance.random() < 0.12:
            return self.chance.choice(self.done)
        kinds = ["deposit"] * 3 + [
            "refund",
            "dispute",
            "win",
            "spend",
            "spend",
            "hold",
            "ask",
            "ask",
            "freeze",
        ]
        if self.model.withdrawals:
            kinds += ["confirm"] * 3 + ["approve", "approve", "decline", "begin", "begin", "begin"]
            kinds += [
                "answer paid",
                "answer refused",
                "answer refused",
                "look",
                "look",
                "say paid",
                "say unpaid",
            ]
        kind = self.chance.choice(kinds)
        if kind in {"deposit", "refund", "dispute", "win"}:
            return Step(kind, number=self.chance.randrange(PAYMENTS))
        if kind in {"spend", "hold", "ask"}:
            return Step(kind, amount=self.chance.randint(1, LIMIT + 5))
        if kind == "freeze":
            return Step(kind)
        number = self.chance.randrange(len(self.model.withdrawals))
        attempts = self.model.withdrawals[number].attempts
        return Step(kind, number=number, attempt=self.chance.randint(1, max(1, attempts)))


_ITEMS = "unnest(%s::text[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS i (key, person, amount, place)"
_PROVIDER = (
    "SELECT coalesce(d.r_reason, b.r_reason) FROM {items}, LATERAL ballast.ledger_provider('till', i.key || ':' || "
    "i.place || ':{salt}', 'm', '{{}}', i.key || '{salt}', i.key, i.key, i.person, i.amount, 'USD', i.amount, %s, "
    "CASE WHEN %s THEN i.amount ELSE 0 END, NULL, now()) AS b, "
    "LATERAL ballast.ledger_provider_disputes('till', i.key || left(b.r_status, 0), i.key || '{salt}') AS d "
    "ORDER BY i.place"
)
_DISPUTE = (
    "SELECT coalesce(d.r_reason, s.r_reason) FROM {items}, LATERAL ballast.provider_dispute('till', i.key || ':d:' || "
    "i.place || ':{salt}', 'm', '{{}}', i.key || '{salt}', 'dp-' || i.key, i.key, i.amount, 'USD', %s) AS d, "
    "LATERAL ballast.ledger_provider_disputes('till', i.key || left(d.r_event_is_new::text, 0), i.key || '{salt}') "
    "AS s ORDER BY i.place"
)
_SPEND = (
    "SELECT d.r_reason FROM {items}, LATERAL ballast.ledger_adjust(i.key, i.key, i.person, NULL, -i.amount, %s, '', "
    "'test') AS d ORDER BY i.place"
)
_HOLD = (
    "SELECT d.r_reason FROM {items}, LATERAL ballast.ledger_hold(i.key, i.key, i.person, NULL, i.amount, %s, '', "
    "'test', NULL) AS d ORDER BY i.place"
)
_ASK = (
    "SELECT d.r_reason, d.r_token FROM {items}, LATERAL ballast.withdrawal_create(i.key, 'token-' || i.key, i.person, "
    f"i.amount, %s, 'till', 'there', i.amount, 'USD', {LIMIT}, {LIMIT_PER_DAY}, interval '1 day') AS d ORDER BY i.place"
)
_CONFIRM = (
    "SELECT d.r_reason, d.r_id FROM {items}, LATERAL ballast.withdrawal_decide(i.key || ':press', i.key, i.person, "
    f"true, interval '0', {LIMIT}, {LIMIT_PER_DAY}, {AUTO}, NULL) AS d ORDER BY i.place"
)
_WORD = (
    "SELECT d.r_reason FROM {items}, LATERAL ballast.withdrawal_word(i.key, i.amount, %s, 'ada', 'why', "
    "interval '0') AS d ORDER BY i.place"
)
_BEGIN = (
    "SELECT d.r_action FROM {items}, LATERAL ballast.withdrawal_begin(i.key, interval '0', "
    "CASE WHEN %s THEN i.amount::integer END) AS d ORDER BY i.place"
)
_ANSWER = (
    "SELECT d.r_state FROM {items}, LATERAL ballast.withdrawal_answer(i.key, %s, i.amount::integer, 'ref', "
    "interval '0') AS d ORDER BY i.place"
)
_FREEZE = (
    "UPDATE ballast.accounts a SET sending_frozen = NOT a.sending_frozen FROM ballast.users u "
    "WHERE u.id = a.user_id AND u.telegram_id = ANY(%s) RETURNING 1"
)
_FIGURES = (
    "SELECT u.telegram_id, a.balance, a.held, a.floor, (SELECT coalesce(sum(w.amount), 0) FROM ballast.withdrawals w "
    "WHERE w.user_id = u.id AND w.status = 'paid'), (SELECT coalesce(string_agg(w.status, ',' ORDER BY w.id), '') "
    "FROM ballast.withdrawals w WHERE w.user_id = u.id) "
    "FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id WHERE u.telegram_id = ANY(%s)"
)


class WithdrawalHistories:
    """Raises AssertionError, which names the history's seed, where the ledger and the model differ."""

    def __init__(self, engine: GuardedEngine) -> None:
        self._engine = engine
        self._round = 0
        self.seen: Counter[str] = Counter()

    def run(self, seed: int, count: int) -> None:
        for first in range(0, count, AT_ONCE):
            people = range(first + 1, min(first + AT_ONCE, count) + 1)
            self._run([History(person, random.Random(f"w{seed}:{person}")) for person in people])

    def _run(self, histories: list[History]) -> None:
        profiles = [Profile(history.person, None, "P") for history in histories]
        users.get_or_create_many(self._engine, profiles=profiles)
        for _ in range(STEPS):
            self._round += 1
            asked: dict[str, list[tuple[History, Step]]] = defaultdict(list)
            for history in histories:
                step = history.next()
                asked[step.kind].append((history, step))
            for kind, steps in asked.items():
                self._compare(kind, steps)
            self._compare_figures(histories)

    def _compare(self, kind: str, asked: list[tuple[History, Step]]) -> None:
        answers = self._ask(kind, asked)
        for (history, step), answer in zip(asked, answers, strict=True):
            expected = self._expected(history, step, answer)
            assert answer[0] == expected, (history.person, step, answer, expected, history.done)
            history.done.append(step)
            self.seen[f"{kind}: {expected or 'done'}"] += 1

    def _expected(self, history: History, step: Step, answer: tuple[Any, ...]) -> Answer:
        model = history.model
        match step.kind:
            case "deposit":
                return model.deposit(step.number)
            case "refund":
                return model.refund(step.number)
            case "dispute":
                return model.dispute(step.number, "open")
            case "win":
                return model.dispute(step.number, "won")
            case "spend":
                return model.spend(step.amount)
            case "hold":
                return model.hold(step.amount)
            case "freeze":
                return model.freeze()
            case "ask":
                refused = model.ask(step.amount)
                if refused is None:
                    history.tokens.append(answer[1])
                    history.ids.append(0)
                return refused
            case "confirm":
                refused = model.confirm(step.number)
                history.ids[step.number] = answer[1]
                return refused
            case "approve" | "decline":
                return model.word(step.number, step.kind)
            case "say paid" | "say unpaid":
                return model.word(step.number, step.kind.removeprefix("say "))
            case "begin":
                return model.begin(step.number, absent=False)
            case "look":
                return model.begin(step.number, absent=True)
            case _:
                return model.answer(step.number, step.kind.removeprefix("answer "), step.attempt)

    def _ask(self, kind: str, asked: list[tuple[History, Step]]) -> list[tuple[Any, ...]]:
        keys = [f"w{history.person}-{self._round}" for history, _ in asked]
        payments = [f"w{history.person}-p{step.number}" for history, step in asked]
        worth = [Model.worth(step.number) for _, step in asked]
        amounts = [step.amount for _, step in asked]
        currency = self._engine.currency

        def tokens() -> list[str]:
            return [history.tokens[step.number] for history, step in asked]

        match kind:
            case "deposit" | "refund":
                return self._rows(_PROVIDER, asked, payments, worth, currency, kind == "refund")
            case "dispute" | "win":
                return self._rows(_DISPUTE, asked, payments, worth, "open" if kind == "dispute" else "won")
            case "spend":
                return self._rows(_SPEND, asked, keys, amounts, currency)
            case "hold":
                return self._rows(_HOLD, asked, keys, amounts, currency)
            case "ask":
                return self._rows(_ASK, asked, keys, amounts, currency)
            case "confirm":
                return self._rows(_CONFIRM, asked, tokens(), amounts)
            case "approve" | "decline" | "say paid" | "say unpaid":
                ids = [history.ids[step.number] for history, step in asked]
                return self._rows(_WORD, asked, keys, ids, kind.removeprefix("say "))
            case "begin" | "look":
                attempts = [history.model.withdrawals[step.number].attempts for history, step in asked]
                return self._rows(_BEGIN, asked, tokens(), attempts, kind == "look")
            case "freeze":
                self._engine.fetch_rows(
                    _FREEZE, ([history.person for history, _ in asked],), name="test.freeze"
                )
                return [(None,)] * len(asked)
            case _:
                attempts = [step.attempt for _, step in asked]
                return self._rows(_ANSWER, asked, tokens(), attempts, kind.removeprefix("answer "))

    def _rows(
        self,
        statement: str,
        asked: list[tuple[History, Step]],
        keys: list[str],
        amounts: list[int],
        *more: Any,
    ) -> list[tuple[Any, ...]]:
        sql = statement.format(items=_ITEMS, salt=self._round)
        people = [history.person for history, _ in asked]
        return self._engine.fetch_rows(
            sql, (keys, people, amounts, *more), name="test.step", deadline_seconds=60
        )

    def _compare_figures(self, histories: list[History]) -> None:
        expected = {
            history.person: (
                history.model.balance,
                history.model.held,
                min(0, history.model.available),
                history.model.paid_out,
                ",".join(each.state for each in history.model.withdrawals),
            )
            for history in histories
        }
        rows = self._engine.fetch_rows(_FIGURES, ([*expected],), name="test.figures", writes=False)
        there = {person: tuple(figures) for person, *figures in rows}
        if there != expected:
            person = next(person for person in expected if there.get(person) != expected[person])
            done = next(history.done for history in histories if history.person == person)
            raise AssertionError(f"{person}: {there.get(person)}, expected {expected[person]} after {done}")
