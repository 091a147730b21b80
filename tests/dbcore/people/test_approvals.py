"""What an operator may not do alone: it waits, somebody else decides it once, and money moves once for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from dbcore import admin_actions
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import pending_adjustments
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import AdjustOutcome, OutcomeStatus, RejectionReason
from dbcore.people import approvals
from dbcore.people.acts import Act
from dbcore.people.approvals import Answer, Approval, ApprovalRefused, ApprovalStatus
from dbcore.settings import Settings
from devstack.postgres import EmbeddedPostgres
from devstack.proxy import Cut, FaultProxy, On, Rule, Side, Silence
from tests.conftest import MakeSettings
from tests.dbcore.conftest import MakeEngine, Person, Sql
from tests.dbcore.people.test_acts import balance

pytestmark = pytest.mark.usefixtures("audited")

WHEN = 1_790_000_000.0
TREASURER, OTHER = 501, 502
LIMITS = Limits(once=100, per_day=150)


def ask(
    engine: GuardedEngine,
    whom: Profile | int,
    amount: int,
    *,
    key: str | None = None,
    by: int = TREASURER,
    limits: Limits = LIMITS,
) -> AdjustOutcome | Answer:
    act = Act(key or uuid.uuid4().hex, f"telegram:{by}", "order 17", time.time())
    target = whom if isinstance(whom, int) else whom.telegram_id
    return approvals.adjust(engine, act, operator_id=by, target_id=target, amount=amount, limits=limits)


def waiting(answer: AdjustOutcome | Answer) -> Approval:
    assert isinstance(answer, Answer)
    return answer.approval


def decide(
    engine: GuardedEngine, approval: Approval, *, approve: bool = True, by: str = "web:nadia", key: str = "d"
) -> Answer:
    decision = Act(key, by, "checked", WHEN)
    answer = approvals.decide(engine, decision, approval_id=approval.id, approve=approve)
    assert answer is not None
    return answer


def transfers(sql: Sql) -> int:
    return int(sql("SELECT count(*) FROM transfers WHERE memo = 'order 17'")[0][0])


def test_what_is_within_the_limits_is_done_at_once_and_what_is_above_waits(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person()
    done = ask(engine, bob, 100, key="a")
    assert isinstance(done, AdjustOutcome) and done.status is OutcomeStatus.APPLIED
    assert waiting(ask(engine, bob, 101, key="b")).exceeds is RejectionReason.OVER_LIMIT
    assert waiting(ask(engine, bob, -51, key="c")).exceeds is RejectionReason.OVER_DAILY_LIMIT
    assert isinstance(ask(engine, bob, 50, by=OTHER), AdjustOutcome)
    assert balance(engine, bob) == 150
    # Done before, it is repeated whatever is left for today.
    again = ask(engine, bob, 100, key="a")
    assert isinstance(again, AdjustOutcome) and again.status is OutcomeStatus.REPLAYED
    assert [each.act_key for each in approvals.recent(engine, only_waiting=True).items] == ["c", "b"]
    assert transfers(sql) == 2


def test_one_limit_of_a_day_holds_in_the_chat_and_beside_it(engine: GuardedEngine, person: Person) -> None:
    bob = person()
    assert isinstance(ask(engine, bob, 100), AdjustOutcome)
    refused = pending_adjustments.create(
        engine,
        key="chat",
        admin_id=TREASURER,
        target=UserRef(telegram_id=bob.telegram_id),
        amount=51,
        memo="",
        limits=LIMITS,
    )
    assert (refused.reason, refused.left_today) == (RejectionReason.OVER_DAILY_LIMIT, 50)


def test_acts_at_once_cannot_pass_the_limit_of_a_day_together(engine: GuardedEngine, person: Person) -> None:
    bob = person()
    with ThreadPoolExecutor(4) as threads:
        made = [*threads.map(lambda _: ask(engine, bob, 50), range(8))]
    assert sum(isinstance(each, AdjustOutcome) for each in made) == 3
    assert balance(engine, bob) == 150


def test_the_same_request_is_recorded_once_and_another_one_under_its_key_is_refused(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person()
    with ThreadPoolExecutor(4) as threads:
        made = [*threads.map(lambda _: ask(engine, bob, 500, key="k"), range(8))]
    assert {waiting(each).id for each in made} == {1}
    assert sum(not each.replayed for each in made if isinstance(each, Answer)) == 1
    for other in (ask(engine, bob, 501, key="k"), ask(engine, bob, 500, key="k", by=OTHER)):
        assert isinstance(other, AdjustOutcome) and other.reason is RejectionReason.KEY_REUSED
    unknown = ask(engine, 7, 500)
    assert isinstance(unknown, AdjustOutcome) and unknown.reason is RejectionReason.UNKNOWN_USER
    assert sql("SELECT count(*) FROM approvals") == [(1,)]


def test_what_is_approved_moves_once_however_many_approve_it_at_once(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person()
    asked = waiting(ask(engine, bob, 500, key="k"))

    def approve(number: int) -> bool:
        try:
            decide(engine, asked, by=f"web:{number}", key=f"d{number}")
        except ApprovalRefused:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(approve, range(6))) == 1
    assert (balance(engine, bob), transfers(sql)) == (500, 1)
    repeated = ask(engine, bob, 500, key="k")
    assert isinstance(repeated, AdjustOutcome) and repeated.status is OutcomeStatus.REPLAYED
    assert transfers(sql) == 1
    booked = [(row.actor, row.action, row.outcome) for row in admin_actions.recent(engine, 10)]
    assert sorted(booked)[0] == (f"telegram:{TREASURER}", "approval.ask", "done")
    assert sorted(booked)[1] == (f"telegram:{TREASURER}", "user.credit", "done")
    assert sorted(booked)[2][0].startswith("web:") and sorted(booked)[2][1] == "approval.approve"


def test_one_operator_has_so_many_waiting_and_no_more_until_some_are_decided(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person()
    with ThreadPoolExecutor(4) as threads:
        asked = [
            *threads.map(lambda number: ask(engine, bob, 500, key=f"k{number}"), range(approvals.WAITING_MAX))
        ]
    with pytest.raises(ApprovalRefused, match="20 of yours wait"):
        ask(engine, bob, 500, key="one more")
    assert waiting(ask(engine, bob, 500, key="k0")), "one that waits already is answered"
    assert waiting(ask(engine, bob, 500, by=OTHER))
    decide(engine, waiting(asked[0]), approve=False)
    assert waiting(ask(engine, bob, 500, key="one more"))
    assert len(approvals.recent(engine, only_waiting=True).items) == approvals.WAITING_MAX + 1


def test_the_same_decision_again_is_answered_as_the_first_time_and_no_other_is(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person()
    for approve in (True, False):
        asked = waiting(ask(engine, bob, 500))
        first = decide(engine, asked, approve=approve)
        again = decide(engine, asked, approve=approve)
        assert (first.replayed, again.replayed, first.approval) == (False, True, again.approval)
        with pytest.raises(ApprovalRefused, match="already"):
            decide(engine, asked, approve=not approve)
    assert balance(engine, bob) == 500
    assert approvals.decide(engine, Act("d", "web:nadia", "", WHEN), approval_id=99, approve=True) is None


def test_nobody_decides_what_they_asked_for(engine: GuardedEngine, person: Person, sql: Sql) -> None:
    bob = person()
    asked = waiting(ask(engine, bob, 500))
    for approve in (True, False):
        with pytest.raises(ApprovalRefused, match="asked for it"):
            decide(engine, asked, approve=approve, by=f"telegram:{TREASURER}")
    with pytest.raises(psycopg2.errors.CheckViolation):
        sql(
            "UPDATE approvals SET status = 'approved', decided_by = %s, decided_key = 'k', decided_at = now()",
            f"telegram:{TREASURER}",
        )
    assert balance(engine, bob) == 0


def test_what_is_not_decided_in_a_day_of_the_database_has_expired(
    engine: GuardedEngine, person: Person, sql: Sql
) -> None:
    bob = person()
    asked = waiting(ask(engine, bob, 500, key="k"))
    assert (asked.expires_at - asked.created_at).total_seconds() == pytest.approx(86_400, abs=5)
    sql("UPDATE approvals SET expires_at = clock_timestamp()")
    with pytest.raises(ApprovalRefused, match="expired"):
        decide(engine, asked)
    assert waiting(ask(engine, bob, 500, key="k")).status is ApprovalStatus.EXPIRED
    assert approvals.recent(engine, only_waiting=True).items == []
    assert balance(engine, bob) == 0


def test_what_the_ledger_refuses_when_it_is_approved_is_decided_and_says_why(
    engine: GuardedEngine, person: Person
) -> None:
    bob = person(50)
    asked = waiting(ask(engine, bob, -500, key="k"))
    for _ in range(2):
        refused = decide(engine, asked).approval
        assert (refused.status, refused.refusal) == (
            ApprovalStatus.REFUSED,
            RejectionReason.INSUFFICIENT_FUNDS,
        )
    repeated = ask(engine, bob, -500, key="k")
    assert isinstance(repeated, AdjustOutcome) and repeated.reason is RejectionReason.INSUFFICIENT_FUNDS
    assert balance(engine, bob) == 50


def test_an_approval_whose_commit_was_not_heard_is_done_once_and_a_silent_database_decides_nothing(
    engine: GuardedEngine,
    make_engine: MakeEngine,
    person: Person,
    postgres_server: EmbeddedPostgres,
    database_url: str,
    sql: Sql,
) -> None:
    bob = person()
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        url = proxy.url_of(database_url.rsplit("/", 1)[1])
        behind = make_engine(url, settings={"db_deadline_seconds": 1.0})
        asked = waiting(ask(behind, bob, 500))
        proxy.add(Rule(On(Side.CLIENT), Silence(), times=None))
        with pytest.raises(DatabaseAway):
            decide(behind, asked)
        found = approvals.find(engine, asked.id)
        assert found is not None and found.status is ApprovalStatus.WAITING
        proxy.clear()
    with FaultProxy("127.0.0.1", postgres_server.port, login=postgres_server.login) as proxy:
        url = proxy.url_of(database_url.rsplit("/", 1)[1])
        behind = make_engine(url)
        proxy.add(Rule(On(Side.SERVER, kind="C", statement="COMMIT"), Cut(), times=1))
        decide(behind, asked)
    assert decide(engine, asked).replayed
    assert (balance(engine, bob), transfers(sql)) == (500, 1)


def approve_and_die(settings: Settings, approval_id: int) -> None:
    """In a process of its own, killed when the money has moved and nothing is committed."""

    def kill(_: object) -> list[Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    engine = GuardedEngine(settings)
    decision = Act("d", "web:nadia", "", WHEN)
    approvals.decide(engine, decision, approval_id=approval_id, approve=True, notice_of=lambda _: kill)


def test_a_caller_that_is_killed_before_the_commit_has_decided_nothing(
    engine: GuardedEngine, person: Person, sql: Sql, make_settings: MakeSettings, database_url: str
) -> None:
    bob = person()
    asked = waiting(ask(engine, bob, 500))
    caller = multiprocessing.get_context("spawn").Process(
        target=approve_and_die, args=(make_settings(database_url=database_url), asked.id)
    )
    caller.start()
    caller.join(60)
    assert caller.exitcode == -signal.SIGKILL
    assert (balance(engine, bob), transfers(sql)) == (0, 0)
    decide(engine, asked, key="another")
    assert (balance(engine, bob), transfers(sql)) == (500, 1)
