"""Any operations, from several threads, each sent up to three times: the ledger stays right."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.audit import audit
from dbcore.ledger.users import Profile, UserRef
from dbcore.outcomes import AdjustOutcome, OutcomeStatus, TransferOutcome
from tests.dbcore.conftest import MakeEngine

PEOPLE = 3
_examples = itertools.count(1)


@dataclass(frozen=True)
class Operation:
    sender: int | None  # None: the house
    recipient: int
    amount: int
    sent: int  # how often


operations = st.builds(
    Operation,
    sender=st.none() | st.integers(0, PEOPLE - 1),
    recipient=st.integers(0, PEOPLE - 1),
    amount=st.integers(-80, 120).filter(bool),
    sent=st.integers(1, 3),
)


def carry_out(
    engine: GuardedEngine, key: str, first_id: int, operation: Operation
) -> AdjustOutcome | TransferOutcome:
    if operation.sender is None:
        return ledger.adjust(
            engine,
            key=key,
            target=UserRef(telegram_id=first_id + operation.recipient),
            amount=operation.amount,
            memo="",
            actor="t",
        )
    return ledger.transfer(
        engine,
        key=key,
        sender_telegram_id=first_id + operation.sender,
        recipient_telegram_id=first_id + operation.recipient,
        amount=abs(operation.amount),
        memo="",
    )


def expected_balances(applied: list[Operation]) -> list[int]:
    balances = [0] * PEOPLE
    for operation in applied:
        if operation.sender is None:
            balances[operation.recipient] += operation.amount
        else:
            balances[operation.sender] -= abs(operation.amount)
            balances[operation.recipient] += abs(operation.amount)
    return balances


def test_whatever_is_sent_however_often_the_ledger_is_right(
    make_engine: MakeEngine, database_url: str
) -> None:
    engine = make_engine(settings={"db_pool_size": 4, "db_max_overflow": 4, "db_deadline_seconds": 60})

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    @given(st.lists(operations, min_size=1, max_size=20), st.randoms(use_true_random=False))
    def holds(requests: list[Operation], chance: object) -> None:
        first_id = next(_examples) * 1_000
        for number in range(PEOPLE):
            users.get_or_create(engine, profile=Profile(first_id + number, None, "P"))
        jobs = [
            (f"{first_id}-{number}", request)
            for number, request in enumerate(requests)
            for _ in range(request.sent)
        ]
        chance.shuffle(jobs)  # type: ignore[attr-defined]  # hypothesis types its Random as object
        with ThreadPoolExecutor(4) as threads:
            outcomes = list(
                threads.map(lambda job: (job[0], carry_out(engine, job[0], first_id, job[1])), jobs)
            )

        answers: dict[str, set[object]] = {}
        for key, outcome in outcomes:
            status = outcome.status
            if status is OutcomeStatus.REPLAYED:
                status = OutcomeStatus.APPLIED
            answers.setdefault(key, set()).add(replace(outcome, status=status))
        assert all(len(same) == 1 for same in answers.values())

        first_times = [key for key, outcome in outcomes if outcome.status is OutcomeStatus.APPLIED]
        assert len(first_times) == len(set(first_times))
        applied = [
            request for number, request in enumerate(requests) if f"{first_id}-{number}" in first_times
        ]
        accounts = [
            users.get_or_create(engine, profile=Profile(first_id + number, None, "P"))
            for number in range(PEOPLE)
        ]
        assert [account.balance for account in accounts] == expected_balances(applied)
        assert not [finding for finding in audit(database_url) if not finding.ok]

    holds()
