"""Withdrawals: money is held before anybody pays, and each is paid or returned once, whoever dies in between."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from dbcore import outbox
from dbcore.admin_actions import AdminAction
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import holds, ledger, provider_payments, users, withdrawals
from dbcore.ledger.audit import audit
from dbcore.ledger.provider_payments import ProviderCharge, ProviderEvent
from dbcore.ledger.users import Profile, UserRef
from dbcore.ledger.withdrawals import Limits, Payout, WithdrawalOutcome, WithdrawalState
from dbcore.outcomes import OutcomeStatus, RejectionReason
from tests.dbcore.conftest import Sql

pytestmark = pytest.mark.usefixtures("audited")

OWNER = Profile(7_200_001, "owner", "Owner")
FREE = Limits(None, None, None, None)
BY_RULE = Limits(None, None, 1_000, None)
_keys = itertools.count(1)


def nobody(_: WithdrawalState) -> Sequence[outbox.Job]:
    return ()


def funded(engine: GuardedEngine, amount: int = 100) -> None:
    users.get_or_create(engine, profile=OWNER)
    target = UserRef(telegram_id=OWNER.telegram_id)
    ledger.adjust(engine, key=f"fund-{next(_keys)}", target=target, amount=amount, memo="", actor="t")


def figures(engine: GuardedEngine) -> tuple[int, int]:
    account = users.get_or_create(engine, profile=OWNER)
    return account.balance, account.available


def asked(
    engine: GuardedEngine, amount: int = 60, *, limits: Limits = FREE, key: str = "", adapter: str = "crypto"
) -> WithdrawalOutcome:
    return withdrawals.create(
        engine,
        key=key or f"ask-{next(_keys)}",
        telegram_id=OWNER.telegram_id,
        amount=amount,
        payout=Payout(adapter, "there", amount, "USDT"),
        limits=limits,
    )


def decided(
    engine: GuardedEngine,
    token: str,
    *,
    confirm: bool = True,
    limits: Limits = FREE,
    key: str = "",
    telegram_id: int = OWNER.telegram_id,
    waited_seconds: float = 0.0,
) -> WithdrawalOutcome:
    return withdrawals.decide(
        engine,
        key=key or f"decide-{next(_keys)}",
        token=token,
        telegram_id=telegram_id,
        confirm=confirm,
        limits=limits,
        notice=nobody,
        waited_seconds=waited_seconds,
    )


def said(
    engine: GuardedEngine,
    number: int | None,
    word: Literal["approve", "decline", "paid", "unpaid"],
    *,
    key: str = "",
    text: str = "why",
) -> WithdrawalOutcome:
    action = AdminAction(key or f"word-{next(_keys)}", "telegram:1001", f"withdrawal.{word}", "", 1.0, text)
    return withdrawals.say(engine, action, number=number or 0, word=word, notice=nobody)


def approved(engine: GuardedEngine, amount: int = 60) -> tuple[str, int]:
    funded(engine)
    card = asked(engine, amount, limits=BY_RULE)
    outcome = decided(engine, card.token, limits=BY_RULE)
    assert outcome.state is WithdrawalState.APPROVED
    return card.token, outcome.number or 0


def answered(
    engine: GuardedEngine, token: str, what: Literal["paid", "refused", "failed"], attempt: int = 1
) -> WithdrawalState:
    return withdrawals.answer(engine, token=token, said=what, attempt=attempt, text="ref", notice=nobody)


def settled(sql: Sql) -> None:
    """So long after the last request that nothing of it is under way."""
    sql("UPDATE withdrawals SET attempt_at = attempt_at - interval '1 hour' WHERE attempts > 0")


def test_confirmed_the_money_is_held_until_a_person_approved_and_paid_it(engine: GuardedEngine) -> None:
    funded(engine)
    card = asked(engine, adapter="manual", key="a")
    assert asked(engine, adapter="manual", key="a").token == card.token
    assert figures(engine) == (100, 100)
    first = decided(engine, card.token, key="press")
    assert (first.status, first.state) == (OutcomeStatus.APPLIED, WithdrawalState.HELD)
    assert figures(engine) == (100, 40)
    again = decided(engine, card.token, key="press")
    assert (again.status, again.number) == (OutcomeStatus.REPLAYED, first.number)
    assert decided(engine, card.token).reason is RejectionReason.ALREADY_CONFIRMED

    assert said(engine, first.number, "paid").reason is RejectionReason.NOT_APPROVED
    yes = said(engine, first.number, "approve", key="yes")
    assert yes.state is WithdrawalState.PAYING
    assert said(engine, first.number, "approve", key="yes").status is OutcomeStatus.REPLAYED
    assert said(engine, first.number, "approve").reason is RejectionReason.ALREADY_APPROVED
    assert withdrawals.begin(engine, token=card.token).action == "wait"

    assert said(engine, first.number, "paid", text="tx 1").state is WithdrawalState.PAID
    assert said(engine, first.number, "unpaid").reason is RejectionReason.WITHDRAWAL_ENDED
    assert figures(engine) == (40, 40)
    found = withdrawals.find(engine, first.number or 0)
    assert found is not None
    assert (found.reference, found.state, found.owner.telegram_id) == (
        "tx 1",
        WithdrawalState.PAID,
        OWNER.telegram_id,
    )


def test_declined_the_money_is_available_again(engine: GuardedEngine) -> None:
    funded(engine)
    first = decided(engine, asked(engine).token)
    assert said(engine, first.number, "decline").state is WithdrawalState.RETURNED
    assert figures(engine) == (100, 100)
    assert said(engine, first.number, "approve").reason is RejectionReason.WITHDRAWAL_ENDED


def test_whoever_asked_takes_it_back_once_until_the_provider_is_asked_and_nobody_else_does(
    engine: GuardedEngine,
) -> None:
    funded(engine)
    held, paying = asked(engine, 40).token, asked(engine, 10, limits=BY_RULE).token
    decided(engine, held)
    decided(engine, paying, limits=BY_RULE)
    told: list[WithdrawalState] = []

    def notice(state: WithdrawalState) -> Sequence[outbox.Job]:
        told.append(state)
        return ()

    def taken_back(token: str, key: str, telegram_id: int = OWNER.telegram_id) -> WithdrawalOutcome:
        return withdrawals.take_back(
            engine,
            key=key,
            token=token,
            telegram_id=telegram_id,
            notice=notice,
        )

    assert taken_back(held, "k0", telegram_id=5).reason is RejectionReason.UNKNOWN_WITHDRAWAL
    assert figures(engine) == (100, 50)
    assert taken_back(held, "k1").state is WithdrawalState.RETURNED
    assert taken_back(held, "k1").status is OutcomeStatus.REPLAYED
    assert taken_back(held, "k2").reason is RejectionReason.WITHDRAWAL_ENDED
    assert told == [WithdrawalState.RETURNED]
    assert figures(engine) == (100, 90)
    assert withdrawals.begin(engine, token=paying).action == "pay"
    assert taken_back(paying, "k3").reason is RejectionReason.PAYOUT_UNDER_WAY
    own = withdrawals.listed(engine, only_open=False, telegram_id=OWNER.telegram_id)
    assert [(each.state, each.reason) for each in own] == [
        (WithdrawalState.PAYING, None),
        (WithdrawalState.RETURNED, RejectionReason.TAKEN_BACK),
    ]
    assert withdrawals.listed(engine, only_open=False, telegram_id=5) == []


def test_cancelled_or_by_a_stranger_nothing_is_held(engine: GuardedEngine) -> None:
    funded(engine)
    card = asked(engine)
    assert decided(engine, card.token, telegram_id=5).reason is RejectionReason.NOT_YOURS
    assert decided(engine, card.token, confirm=False).state is WithdrawalState.CANCELLED
    assert decided(engine, card.token).reason is RejectionReason.ALREADY_CANCELLED
    assert figures(engine) == (100, 100)


def test_a_press_in_time_counts_though_it_is_done_after_an_outage(engine: GuardedEngine, sql: Sql) -> None:
    funded(engine)
    late, in_time = asked(engine).token, asked(engine).token
    sql("UPDATE withdrawals SET created_at = now() - interval '1 h', expires_at = now() - interval '30 min'")
    assert decided(engine, late).reason is RejectionReason.EXPIRED
    assert decided(engine, in_time, waited_seconds=3_000).state is WithdrawalState.HELD
    assert figures(engine) == (100, 40)


def test_limits_hold_for_each_and_for_a_day_also_if_two_are_confirmed_at_once(engine: GuardedEngine) -> None:
    limits = Limits(once=60, per_day=80, auto=None, auto_per_day=None)
    funded(engine, 1_000)
    assert asked(engine, 61, limits=limits).reason is RejectionReason.OVER_LIMIT
    cards = [asked(engine, 50, limits=limits).token for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda token: decided(engine, token, limits=limits), cards))
    assert sorted(str(each.reason) for each in outcomes) == ["None", *["over_daily_limit"] * 3]
    assert asked(engine, 31, limits=limits).reason is RejectionReason.OVER_DAILY_LIMIT
    assert asked(engine, 30, limits=limits).reason is None
    assert figures(engine) == (1_000, 950)


def test_the_rule_approves_up_to_its_amounts_and_the_rest_waits_for_a_person(engine: GuardedEngine) -> None:
    rule = Limits(None, None, auto=50, auto_per_day=80)
    funded(engine, 1_000)
    states = [decided(engine, asked(engine, amount).token, limits=rule).state for amount in (51, 29, 1)]
    assert states == [WithdrawalState.HELD, WithdrawalState.APPROVED, WithdrawalState.HELD]


def test_a_payout_is_on_record_before_the_provider_is_asked_and_booked_once(engine: GuardedEngine) -> None:
    token, number = approved(engine)
    turn = withdrawals.begin(engine, token=token)
    assert (turn.action, turn.attempt, turn.pays, turn.destination) == ("pay", 1, 60, "there")
    assert withdrawals.begin(engine, token=token).action == "wait"  # a second delivery of the same job
    assert said(engine, number, "decline").reason is RejectionReason.PAYOUT_UNDER_WAY
    assert answered(engine, token, "paid") is WithdrawalState.PAID
    assert answered(engine, token, "paid") is WithdrawalState.PAID
    assert answered(engine, token, "refused") is WithdrawalState.PAID
    assert figures(engine) == (40, 40)


def test_killed_after_the_request_the_provider_is_asked_and_not_paid_again(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, _ = approved(engine)
    withdrawals.begin(engine, token=token)
    settled(sql)
    turn = withdrawals.begin(engine, token=token)
    assert (turn.action, turn.attempt) == ("ask", 1)
    assert answered(engine, token, "paid") is WithdrawalState.PAID
    assert withdrawals.begin(engine, token=token).action == "wait"


def test_the_provider_knows_nothing_of_it_so_it_is_asked_to_pay_once_more_by_one_worker(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, _ = approved(engine)
    withdrawals.begin(engine, token=token)
    settled(sql)
    with ThreadPoolExecutor(4) as threads:
        turns = list(threads.map(lambda _: withdrawals.begin(engine, token=token, absent_after=1), range(4)))
    assert sorted((each.action, each.attempt) for each in turns) == [("pay", 2), *[("wait", 2)] * 3]


def test_a_refusal_returns_the_money_only_if_no_request_is_without_an_answer(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, number = approved(engine)
    withdrawals.begin(engine, token=token)  # frozen before it sent its request
    settled(sql)
    assert withdrawals.begin(engine, token=token, absent_after=1).attempt == 2
    assert answered(engine, token, "refused", 2) is WithdrawalState.PAYING
    assert answered(engine, token, "refused", 2) is WithdrawalState.PAYING
    assert figures(engine) == (100, 40)
    assert said(engine, number, "unpaid").reason is RejectionReason.PAYOUT_UNDER_WAY  # it may still arrive
    settled(sql)
    assert said(engine, number, "unpaid").state is WithdrawalState.RETURNED  # a person looked there
    assert figures(engine) == (100, 100)


def test_a_refusal_of_the_only_request_returns_the_money(engine: GuardedEngine) -> None:
    token, _ = approved(engine)
    withdrawals.begin(engine, token=token)
    assert answered(engine, token, "refused") is WithdrawalState.RETURNED
    assert answered(engine, token, "paid") is WithdrawalState.RETURNED  # the caller tells the admins
    assert figures(engine) == (100, 100)


def test_stopped_nothing_is_paid_and_nothing_new_is_taken_until_payouts_go_on(engine: GuardedEngine) -> None:
    token, _ = approved(engine)
    card = asked(engine, 10)
    order = AdminAction("stop-1", "operator:ada", "payouts.stop", "", 1.0, "provider trouble")
    assert withdrawals.turn(engine, order, is_stopped=True)
    assert not withdrawals.turn(engine, order, is_stopped=True)
    now = withdrawals.switch(engine)
    assert (now.is_stopped, now.actor, now.reason) == (True, "operator:ada", "provider trouble")
    assert withdrawals.begin(engine, token=token).action == "wait"
    assert asked(engine, 10).reason is RejectionReason.PAYOUTS_STOPPED
    assert decided(engine, card.token).reason is RejectionReason.PAYOUTS_STOPPED
    go_on = AdminAction("go-1", "operator:ada", "payouts.resume", "", 2.0)
    assert withdrawals.turn(engine, go_on, is_stopped=False)
    assert not withdrawals.turn(engine, order, is_stopped=True), "its answer was lost, so it is sent again"
    assert not withdrawals.switch(engine).is_stopped
    assert withdrawals.begin(engine, token=token).action == "pay"


def refunded(engine: GuardedEngine, amount: int) -> None:
    """A payment of a provider's that credited the owner is given back there."""
    charge = ProviderCharge("pi", OWNER.telegram_id, amount, "USD", amount, amount, None, 1_700_000_000)
    provider_payments.book(engine, ProviderEvent("stripe", "evt", "m", {}), charge, job_id="refund")


def test_frozen_after_it_was_confirmed_it_is_not_approved_and_not_paid_until_it_is_unfrozen(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, _ = approved(engine)
    held = decided(engine, asked(engine, 10).token)
    sql("UPDATE accounts SET sending_frozen = true WHERE user_id IS NOT NULL")
    assert said(engine, held.number, "approve").reason is RejectionReason.ACCOUNT_FROZEN
    assert withdrawals.begin(engine, token=token).action == "wait"
    assert said(engine, held.number, "decline").state is WithdrawalState.RETURNED
    sql("UPDATE accounts SET sending_frozen = false WHERE user_id IS NOT NULL")
    assert withdrawals.begin(engine, token=token).action == "pay"


def test_a_debt_that_came_meanwhile_is_paid_first_by_what_is_held(engine: GuardedEngine, sql: Sql) -> None:
    token, _ = approved(engine)
    other = decided(engine, asked(engine, 40).token)
    told: list[WithdrawalState] = []

    def notice(state: WithdrawalState) -> Sequence[outbox.Job]:
        told.append(state)
        return [_Told()]

    charge = ProviderCharge("pi", OWNER.telegram_id, 50, "USD", 50, 0, None, 1_700_000_000)
    provider_payments.book(engine, ProviderEvent("stripe", "paid", "m", {}), charge, job_id="paid")
    ledger.adjust(
        engine,
        key=f"spent-{next(_keys)}",
        target=UserRef(telegram_id=OWNER.telegram_id),
        amount=-50,
        memo="",
        actor="t",
    )
    refunded(engine, 50)
    assert figures(engine) == (50, -50)
    assert said(engine, other.number, "approve").reason is RejectionReason.INSUFFICIENT_FUNDS
    turn = withdrawals.begin(engine, token=token, notice=notice)
    assert turn.action == "returned"
    assert withdrawals.begin(engine, token=token, notice=notice).action == "wait"
    assert told == [WithdrawalState.RETURNED]
    assert sql("SELECT count(*) FROM outbox") == [(1,)]
    assert figures(engine) == (50, 10)
    assert said(engine, other.number, "approve").state is WithdrawalState.APPROVED


def test_asked_for_already_a_payout_is_not_returned_for_a_debt_but_not_sent_again_either(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, number = approved(engine)
    assert withdrawals.begin(engine, token=token).action == "pay"
    sql("UPDATE accounts SET sending_frozen = true WHERE user_id IS NOT NULL")
    settled(sql)
    assert withdrawals.begin(engine, token=token).action == "ask"
    assert withdrawals.begin(engine, token=token, absent_after=1).action == "wait"
    assert figures(engine) == (100, 40)
    assert said(engine, number, "unpaid").state is WithdrawalState.RETURNED


def test_what_does_not_get_on_is_found_and_what_waits_for_a_person_is_not(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, asked_for = approved(engine)
    withdrawals.begin(engine, token=token)
    waits = decided(engine, asked(engine, 10).token)
    by_hand = decided(engine, asked(engine, 10, adapter="manual").token)
    said(engine, by_hand.number, "approve")
    untaken = decided(engine, asked(engine, 10, limits=BY_RULE).token, limits=BY_RULE)
    assert withdrawals.open_ones(engine).stuck == ()
    settled(sql)
    sql(
        "UPDATE withdrawals SET asked_at = asked_at - interval '1 h', decided_at = decided_at - interval '16 min'"
    )
    sql("UPDATE payout_switch SET changed_at = now() - interval '1 h'")
    found = withdrawals.open_ones(engine)
    assert found.counted == {"held": 1, "approved": 1, "paying": 2}
    assert [(each.number, each.state) for each in found.stuck] == [
        (asked_for, WithdrawalState.PAYING),
        (untaken.number, WithdrawalState.APPROVED),
    ]
    assert withdrawals.begin(engine, token=token, absent_after=1).attempt == 2
    assert withdrawals.open_ones(engine).stuck[0].number == asked_for, (
        "asked once more it is stuck for as long"
    )
    sql("UPDATE payout_switch SET is_stopped = true")
    assert [each.number for each in withdrawals.open_ones(engine).stuck] == [asked_for]
    said(engine, waits.number, "decline")


def test_what_no_provider_can_be_told_is_refused_and_asked_again_it_is_what_was_asked_first(
    engine: GuardedEngine,
) -> None:
    funded(engine)
    huge = withdrawals.create(
        engine,
        key="huge",
        telegram_id=OWNER.telegram_id,
        amount=50,
        payout=Payout("crypto", "there", 2**63, "USDT"),
        limits=FREE,
    )
    assert huge.reason is RejectionReason.AMOUNT_TOO_LARGE
    first = asked(engine, 60, key="k")
    again = withdrawals.create(
        engine,
        key="k",
        telegram_id=OWNER.telegram_id,
        amount=60,
        payout=Payout("other", "elsewhere", 120, "TON"),
        limits=FREE,
    )
    assert (again.status, again.token) == (OutcomeStatus.REPLAYED, first.token)
    assert again.payout == first.payout == Payout("crypto", "there", 60, "USDT")


def test_nobody_but_the_withdrawal_ends_its_hold(engine: GuardedEngine, sql: Sql) -> None:
    approved(engine)
    ((hold_id,),) = sql("SELECT hold_id FROM withdrawals")
    for end in (holds.void, holds.post):
        assert end(engine, key="k", hold_id=hold_id, actor="t").reason is RejectionReason.HELD_FOR_WITHDRAWAL


class _Told:
    kind = "test.told"

    def model_dump_json(self) -> str:
        return "{}"


def test_what_tells_of_a_step_is_in_its_commit_once(engine: GuardedEngine, sql: Sql) -> None:
    token, _ = approved(engine)
    withdrawals.begin(engine, token=token)
    for _ in range(2):
        withdrawals.answer(engine, token=token, said="paid", attempt=1, text="r", notice=lambda _: [_Told()])
    assert sql("SELECT count(*) FROM outbox") == [(1,)]


def test_the_sweep_hands_in_what_a_dead_worker_left_once_for_each_time(
    engine: GuardedEngine, sql: Sql
) -> None:
    token, _ = approved(engine)
    seen: list[str] = []

    def job(due: str) -> outbox.Job:
        seen.append(due)
        return _Told()

    assert withdrawals.due(engine, notice=job) == 1
    assert withdrawals.due(engine, notice=job) == 0
    assert seen == [token]
    sql("UPDATE withdrawals SET due_at = now() - interval '1 s'")
    assert withdrawals.due(engine, notice=job) == 1


def test_the_audit_finds_a_payout_without_its_hold_and_a_hold_without_its_withdrawal(
    engine: GuardedEngine, sql: Sql, database_url: str
) -> None:
    token, _ = approved(engine)

    def wrong() -> set[str]:
        return {each.name for each in audit(database_url) if not each.ok}

    sql("ALTER TABLE holds DISABLE TRIGGER ALL; UPDATE holds SET amount = 59")
    assert "each withdrawal has its hold" in wrong()
    sql("UPDATE holds SET amount = 60; ALTER TABLE holds ENABLE ALWAYS TRIGGER holds_end_once")
    sql("ALTER TABLE holds ENABLE ALWAYS TRIGGER holds_kept, ENABLE ALWAYS TRIGGER holds_no_truncate")
    withdrawals.begin(engine, token=token)
    answered(engine, token, "paid")
    sql("ALTER TABLE withdrawals DISABLE TRIGGER withdrawals_end_once; UPDATE withdrawals SET amount = 61")
    assert {"each withdrawal has its hold", "the account payouts is what withdrawals paid out"} <= wrong()
    sql(
        "UPDATE withdrawals SET amount = 60; "
        "ALTER TABLE withdrawals ENABLE ALWAYS TRIGGER withdrawals_end_once"
    )


def test_ten_confirmations_of_one_card_hold_the_money_once(engine: GuardedEngine) -> None:
    funded(engine)
    token = asked(engine).token
    began = time.monotonic()
    with ThreadPoolExecutor(10) as threads:
        states = list(threads.map(lambda _: decided(engine, token).status, range(10)))
    assert states.count(OutcomeStatus.APPLIED) == 1, time.monotonic() - began
    assert figures(engine) == (100, 40)
