"""Exchange between currencies: once, at the rate that was shown, against an account that gives what it has."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbcore.admin_actions import AdminAction
from dbcore.currencies import Currency
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import books, exchanges, holds, ledger, seals, users
from dbcore.ledger.audit import audit
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import (
    Decision,
    ExchangeDecisionOutcome,
    ExchangeOutcome,
    OutcomeStatus,
    RejectionReason,
)
from dbcore.people import acts
from dbcore.people.acts import Act
from tests.dbcore.conftest import MakeEngine, Person, Sql

pytestmark = pytest.mark.usefixtures("audited")

CURRENCIES = "EUR:2:Euro:€,TON:9"
_examples = itertools.count(1)


@pytest.fixture
def engine(make_engine: MakeEngine) -> GuardedEngine:
    return make_engine(settings={"db_deadline_seconds": 30, "currencies": CURRENCIES})


def currency(engine: GuardedEngine, code: str) -> Currency:
    found = engine.currencies.get(code)
    assert found is not None
    return found


def action(name: str = "exchange.rate") -> AdminAction:
    return AdminAction(uuid.uuid4().hex, "operator:nadia", name, "", 0.0, "test")


def set_rate(engine: GuardedEngine, given: str, got: str, rate: str | None) -> None:
    pair = {"given": currency(engine, given), "got": currency(engine, got)}
    assert exchanges.set_rate(engine, action(), **pair, rate=None if rate is None else Decimal(rate))


def fund(engine: GuardedEngine, code: str, amount: int) -> None:
    done = books.reclassify(
        engine,
        key=uuid.uuid4().hex,
        from_="house",
        to="exchange",
        amount=amount,
        memo="",
        actor="operator:nadia",
        currency=code,
    )
    assert done.reason is None


def ask(
    engine: GuardedEngine, profile: Profile, amount: int, given: str, got: str, key: str | None = None
) -> ExchangeOutcome:
    return exchanges.create(
        engine,
        key=key or uuid.uuid4().hex,
        profile=profile,
        given_amount=amount,
        given_currency=given,
        got_currency=got,
    )


def press(
    engine: GuardedEngine, profile: Profile, token: str, *, confirm: bool = True, key: str | None = None
) -> ExchangeDecisionOutcome:
    return exchanges.decide(
        engine, key=key or uuid.uuid4().hex, token=token, presser=profile, confirm=confirm
    )


def balances(engine: GuardedEngine, profile: Profile) -> dict[str, int]:
    account = users.get_or_create(engine, profile=profile)
    return {each.currency: each.balance for each in account.balances}


def bank(engine: GuardedEngine) -> dict[str, int]:
    return {each.currency: each.balance for each in exchanges.accounts(engine)}


def test_what_was_shown_is_exchanged_once(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "0.9")
    fund(engine, "EUR", 10_000)
    asked = ask(engine, ann, 505, "CREDIT", "EUR")
    assert (asked.got_amount, asked.rate, asked.available) == (454, Decimal("0.9"), 1_000)
    assert balances(engine, ann) == {"CREDIT": 1_000, "EUR": 0}
    done = press(engine, ann, asked.token, key="press")
    assert (done.status, done.decision) == (OutcomeStatus.APPLIED, Decision.CONFIRMED)
    assert (done.given_balance, done.got_balance) == (495, 454)
    again = press(engine, ann, asked.token, key="press")
    assert again.status is OutcomeStatus.REPLAYED
    assert (again.given_balance, again.got_balance) == (495, 454)
    assert press(engine, ann, asked.token).reason is RejectionReason.ALREADY_CONFIRMED
    assert balances(engine, ann) == {"CREDIT": 495, "EUR": 454}
    assert bank(engine) == {"CREDIT": 505, "EUR": 9_546}


def test_the_same_request_is_one_question(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1")
    fund(engine, "EUR", 10_000)
    first, again = (ask(engine, ann, 100, "CREDIT", "EUR", "k") for _ in range(2))
    assert (again.status, again.token) == (OutcomeStatus.REPLAYED, first.token)
    assert ask(engine, ann, 101, "CREDIT", "EUR", "k").reason is RejectionReason.KEY_REUSED
    assert ask(engine, ann, 100, "CREDIT", "TON", "k").reason is RejectionReason.KEY_REUSED


@pytest.mark.parametrize(
    ("rate", "amount", "got"),
    [
        ("1.1", 1, 1),
        ("1.1", 9, 9),
        ("1.1", 10, 11),
        ("0.333333333333333333", 3, 0),
        ("1.999999999999999999", 1, 1),
    ],
)
def test_what_is_got_is_rounded_down_to_a_minor_unit(
    engine: GuardedEngine, person: Person, rate: str, amount: int, got: int
) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", rate)
    fund(engine, "EUR", 10_000)
    asked = ask(engine, ann, amount, "CREDIT", "EUR")
    if got == 0:
        assert asked.reason is RejectionReason.AMOUNT_TOO_SMALL
    else:
        assert (asked.reason, asked.got_amount) == (None, got)


def test_decimals_of_both_currencies_count(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "TON", "0.5")
    set_rate(engine, "TON", "CREDIT", "2")
    fund(engine, "TON", 10**10)
    asked = ask(engine, ann, 300, "CREDIT", "TON")
    assert asked.got_amount == 1_500_000_000
    press(engine, ann, asked.token)
    back = ask(engine, ann, 1_499_999_999, "TON", "CREDIT")
    assert back.got_amount == 299
    press(engine, ann, back.token)
    assert balances(engine, ann) == {"CREDIT": 999, "TON": 1}
    too_small = ask(engine, ann, 1, "TON", "CREDIT")
    assert too_small.reason is RejectionReason.AMOUNT_TOO_SMALL


def test_a_question_is_refused_once_the_rate_has_changed_even_back(
    engine: GuardedEngine, person: Person
) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1.1")
    fund(engine, "EUR", 10_000)
    cards = [ask(engine, ann, 100, "CREDIT", "EUR") for _ in range(2)]
    set_rate(engine, "CREDIT", "EUR", "1.2")
    assert press(engine, ann, cards[0].token).reason is RejectionReason.RATE_CHANGED
    set_rate(engine, "CREDIT", "EUR", "1.1")
    assert press(engine, ann, cards[1].token).reason is RejectionReason.RATE_CHANGED
    set_rate(engine, "CREDIT", "EUR", None)
    assert ask(engine, ann, 100, "CREDIT", "EUR").reason is RejectionReason.NO_RATE
    assert balances(engine, ann) == {"CREDIT": 1_000, "EUR": 0}


def test_a_pair_has_a_rate_in_the_direction_that_was_said(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    set_rate(engine, "EUR", "CREDIT", "1.1")
    assert ask(engine, ann, 100, "CREDIT", "EUR").reason is RejectionReason.NO_RATE


def test_the_exchange_account_gives_what_it_has_and_no_more_than_its_floor_allows(
    engine: GuardedEngine, person: Person
) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1")
    assert ask(engine, ann, 100, "CREDIT", "EUR").reason is RejectionReason.EXCHANGE_SHORT
    fund(engine, "EUR", 150)
    cards = [ask(engine, ann, 100, "CREDIT", "EUR") for _ in range(2)]
    assert press(engine, ann, cards[0].token).reason is None
    assert press(engine, ann, cards[1].token).reason is RejectionReason.EXCHANGE_SHORT
    assert exchanges.set_floor(engine, action("exchange.floor"), currency="EUR", floor=-60)
    last = ask(engine, ann, 110, "CREDIT", "EUR")
    assert press(engine, ann, last.token).reason is None
    assert ask(engine, ann, 1, "CREDIT", "EUR").reason is RejectionReason.EXCHANGE_SHORT
    assert bank(engine) == {"CREDIT": 210, "EUR": -60}
    assert not exchanges.set_floor(engine, action("exchange.floor"), currency="EUR", floor=-59)
    moved = books.reclassify(
        engine,
        key="m",
        from_="exchange",
        to="house",
        amount=211,
        memo="",
        actor="operator",
        currency="CREDIT",
    )
    assert moved.reason is RejectionReason.EXCHANGE_SHORT


def test_only_whoever_asked_may_press_and_in_time(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    ann, bob = person(1_000), person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1")
    fund(engine, "EUR", 1_000)
    card = ask(engine, ann, 100, "CREDIT", "EUR")
    assert press(engine, bob, card.token).reason is RejectionReason.NOT_YOURS
    assert press(engine, bob, "nothing").reason is RejectionReason.UNKNOWN_TRANSFER
    assert press(engine, ann, card.token, confirm=False).decision is Decision.CANCELLED
    assert press(engine, ann, card.token).reason is RejectionReason.ALREADY_CANCELLED
    late = ask(engine, ann, 100, "CREDIT", "EUR")
    sql("UPDATE exchanges SET created_at = now() - interval '1 h', expires_at = now() - interval '1 min' "
        "WHERE token = %s", late.token)  # fmt: skip
    assert press(engine, ann, late.token).reason is RejectionReason.EXPIRED
    assert balances(engine, ann) == {"CREDIT": 1_000, "EUR": 0}


def test_what_is_held_or_frozen_is_not_exchanged(engine: GuardedEngine, person: Person) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1")
    fund(engine, "EUR", 10_000)
    owner = UserRef(telegram_id=ann.telegram_id)
    card = ask(engine, ann, 500, "CREDIT", "EUR")
    holds.hold(engine, key="h", owner=owner, amount=501, memo="", actor="t")
    assert press(engine, ann, card.token).reason is RejectionReason.INSUFFICIENT_FUNDS
    asked = ask(engine, ann, 500, "CREDIT", "EUR")
    assert (asked.reason, asked.available) == (RejectionReason.INSUFFICIENT_FUNDS, 499)
    other = ask(engine, ann, 100, "CREDIT", "EUR")
    acts.freeze(engine, Act("f", "web:nadia", "test", 0.0), target=owner)
    assert press(engine, ann, other.token).reason is RejectionReason.ACCOUNT_FROZEN
    assert ask(engine, ann, 100, "CREDIT", "EUR").reason is RejectionReason.ACCOUNT_FROZEN


def test_half_an_exchange_is_not_reversed(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    ann = person(1_000)
    set_rate(engine, "CREDIT", "EUR", "1")
    fund(engine, "EUR", 10_000)
    press(engine, ann, ask(engine, ann, 100, "CREDIT", "EUR").token)
    for (number,) in sql("SELECT id FROM transfers WHERE kind IN ('exchange_given', 'exchange_got')"):
        done = acts.reverse(engine, Act(f"r{number}", "web:n", "x", 0.0), transfer_id=number, amount=100)
        assert done.reason is RejectionReason.NOT_REVERSIBLE


def test_who_set_a_rate_and_when_is_in_the_audit_log_once(engine: GuardedEngine, sql: Sql) -> None:
    once = action()
    pair = {"given": currency(engine, "EUR"), "got": currency(engine, "CREDIT")}
    assert exchanges.set_rate(engine, once, **pair, rate=Decimal("1.10"))
    assert not exchanges.set_rate(engine, once, **pair, rate=Decimal("1.10"))
    set_rate(engine, "EUR", "CREDIT", "1.2")
    said = sql(
        "SELECT actor, action, before ->> 'rate', after ->> 'rate' FROM admin_actions ORDER BY created_at, id"
    )
    assert sorted(said, key=lambda row: row[3]) == [
        ("operator:nadia", "exchange.rate", None, "1.10"),
        ("operator:nadia", "exchange.rate", "1.10", "1.2"),
    ]
    (rate,) = exchanges.rates(engine)
    assert (rate.given, rate.got, rate.rate, rate.actor) == (
        "EUR",
        "CREDIT",
        Decimal("1.2"),
        "operator:nadia",
    )
    for wrong in ("0", "-1", "NaN", "Infinity", "1e18", "1e-19", "1e999999"):
        with pytest.raises(ValueError, match="expected a rate"):
            exchanges.set_rate(engine, action(), **pair, rate=Decimal(wrong))


@pytest.mark.parametrize("statement", ["UPDATE exchange_rates SET rate = 2", "DELETE FROM exchange_rates"])
def test_a_rate_that_was_in_force_is_not_rewritten(engine: GuardedEngine, sql: Sql, statement: str) -> None:
    set_rate(engine, "EUR", "CREDIT", "1.1")
    with pytest.raises(psycopg2.Error):
        sql(statement)


def test_exchanges_at_once_and_twice_move_what_the_account_has_and_no_more(
    make_engine: MakeEngine, person: Person
) -> None:
    engine = make_engine(
        settings={
            "currencies": CURRENCIES,
            "db_pool_size": 8,
            "db_max_overflow": 4,
            "db_deadline_seconds": 60,
        }
    )
    set_rate(engine, "CREDIT", "EUR", "1")
    set_rate(engine, "EUR", "CREDIT", "1")
    fund(engine, "EUR", 500)
    people = [person(1_000) for _ in range(4)]
    cards = [(each, ask(engine, each, 100, "CREDIT", "EUR").token) for each in people for _ in range(3)]

    def twice(card: tuple[Profile, str]) -> list[ExchangeDecisionOutcome]:
        return [press(engine, *card, key=f"press-{card[1]}") for _ in range(2)]

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(twice, [*cards, *cards]))
    done = Counter(each[0].reason for each in outcomes)
    assert done[RejectionReason.EXCHANGE_SHORT] == 14
    assert done[None] == 10
    assert bank(engine) == {"CREDIT": 500, "EUR": 0}
    assert sum(balances(engine, each)["EUR"] for each in people) == 500


@dataclass(frozen=True)
class Step:
    """what -- credit, transfer, hold, post, void, exchange or rate."""

    what: str
    who: int
    other: int
    amount: int
    code: str
    other_code: str
    rate: str
    sent: int


CODES = ("CREDIT", "EUR", "TON")
steps = st.builds(
    Step,
    what=st.sampled_from(["credit", "transfer", "hold", "post", "void", "exchange", "exchange", "rate"]),
    who=st.integers(0, 1),
    other=st.integers(0, 1),
    amount=st.integers(1, 150),
    code=st.sampled_from(CODES),
    other_code=st.sampled_from(CODES),
    rate=st.sampled_from(["0.5", "1", "1.07", "3"]),
    sent=st.integers(1, 2),
)


class Model:
    """The same in a dozen lines: balances, what is held, rates and what the exchange accounts have."""

    def __init__(self) -> None:
        self.balance: Counter[tuple[int, str]] = Counter()
        self.held: Counter[tuple[int, str]] = Counter()
        self.bank = Counter(dict.fromkeys(CODES, 300))
        self.rates: dict[tuple[str, str], Fraction] = {}
        self.holds: list[tuple[int, str, int, bool]] = []

    def available(self, who: int, code: str) -> int:
        return self.balance[who, code] - self.held[who, code]

    def exchange(self, step: Step, got_per_minor: Fraction | None) -> bool:
        got = floor(step.amount * got_per_minor) if got_per_minor else 0
        if got < 1 or self.available(step.who, step.code) < step.amount or self.bank[step.other_code] < got:
            return False
        self.balance[step.who, step.code] -= step.amount
        self.balance[step.who, step.other_code] += got
        self.bank[step.code] += step.amount
        self.bank[step.other_code] -= got
        return True


def test_any_history_in_several_currencies_is_as_the_model_has_it(
    make_engine: MakeEngine, database_url: str, sql: Sql
) -> None:
    engine = make_engine(settings={"currencies": "EUR:2,TON:3", "db_deadline_seconds": 60})
    exponents = {each.code: each.exponent for each in engine.currencies}
    for code in CODES:
        fund(engine, code, 300)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    @given(st.lists(steps, min_size=1, max_size=25))
    def holds_true(history: list[Step]) -> None:
        model = Model()
        for code, has in bank(engine).items():
            if has != 300:  # as it was before this history
                pair = ("exchange", "house") if has > 300 else ("house", "exchange")
                books.reclassify(
                    engine,
                    key=uuid.uuid4().hex,
                    from_=pair[0],
                    to=pair[1],
                    amount=abs(has - 300),
                    memo="",
                    actor="operator",
                    currency=code,
                )
        for given_code, got_code in itertools.permutations(CODES, 2):
            set_rate(engine, given_code, got_code, None)
        first_id = 50_000_000 + next(_examples) * 10
        people = [Profile(first_id + number, None, "P") for number in range(2)]
        for profile in people:
            users.get_or_create(engine, profile=profile)
        numbers: list[int] = []
        for step in history:
            key = uuid.uuid4().hex
            for attempt in range(step.sent):
                applied = carry_out(engine, step, people, numbers, key)
                if attempt == 0:
                    expect(model, step, applied, exponents)
        for who, profile in enumerate(people):
            found = {each.currency: each for each in users.get_or_create(engine, profile=profile).balances}
            for code in CODES:
                seen = found.get(code)
                told = (0, 0) if seen is None else (seen.balance, seen.held)
                assert told == (model.balance[who, code], model.held[who, code])
        assert bank(engine) == dict(model.bank)
        seals.run(engine, seconds_max=60.0)
        assert not [finding for finding in audit(database_url, full=False) if not finding.ok]

    def carry_out(
        engine: GuardedEngine, step: Step, people: list[Profile], numbers: list[int], key: str
    ) -> bool:
        who, other = people[step.who], people[step.other]
        owner = UserRef(telegram_id=who.telegram_id)
        match step.what:
            case "credit":
                return (
                    ledger.adjust(
                        engine,
                        key=key,
                        target=owner,
                        amount=step.amount,
                        memo="",
                        actor="t",
                        currency=step.code,
                    ).reason
                    is None
                )
            case "transfer":
                return (
                    ledger.transfer(
                        engine,
                        key=key,
                        sender_telegram_id=who.telegram_id,
                        recipient_telegram_id=other.telegram_id,
                        amount=step.amount,
                        memo="",
                        currency=step.code,
                    ).reason
                    is None
                )
            case "hold":
                done = holds.hold(
                    engine, key=key, owner=owner, amount=step.amount, memo="", actor="t", currency=step.code
                )
                if done.status is OutcomeStatus.APPLIED and done.hold_id is not None:
                    numbers.append(done.hold_id)
                return done.reason is None
            case "post" | "void":
                if not numbers:
                    return False
                number = numbers[step.amount % len(numbers)]
                if step.what == "void":
                    return (
                        holds.void(engine, key=key, hold_id=number, actor="t").status is OutcomeStatus.APPLIED
                    )
                return holds.post(engine, key=key, hold_id=number, actor="t").status is OutcomeStatus.APPLIED
            case "rate":
                if step.code != step.other_code:
                    set_rate(engine, step.code, step.other_code, step.rate)
                return True
            case _:
                if step.code == step.other_code:
                    return False
                asked = ask(engine, who, step.amount, step.code, step.other_code, key)
                if not asked.token:
                    return False
                return press(engine, who, asked.token, key=f"press {key}").reason is None

    def expect(model: Model, step: Step, applied: bool, exponents: dict[str, int]) -> None:
        pair = (step.code, step.other_code)
        match step.what:
            case "credit":
                model.balance[step.who, step.code] += step.amount
            case "transfer":
                can = step.who != step.other and model.available(step.who, step.code) >= step.amount
                assert applied == can
                if can:
                    model.balance[step.who, step.code] -= step.amount
                    model.balance[step.other, step.code] += step.amount
            case "hold":
                can = model.available(step.who, step.code) >= step.amount
                assert applied == can
                if can:
                    model.held[step.who, step.code] += step.amount
                    model.holds.append((step.who, step.code, step.amount, True))
            case "post" | "void" if model.holds:
                place = step.amount % len(model.holds)
                who, code, amount, is_open = model.holds[place]
                assert applied == is_open
                if is_open:
                    model.held[who, code] -= amount
                    model.holds[place] = (who, code, amount, False)
                    if step.what == "post":
                        model.balance[who, code] -= amount
            case "rate" if step.code != step.other_code:
                scale = Fraction(10) ** (exponents[step.other_code] - exponents[step.code])
                model.rates[pair] = Fraction(step.rate) * scale
            case "exchange" if step.code != step.other_code:
                assert applied == model.exchange(step, model.rates.get(pair))

    holds_true()
