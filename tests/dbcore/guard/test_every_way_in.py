"""Each way into the guard against each kind of failure: what rises, what is run again, what the breaker counts, and
that nothing is done twice. The failures are those of tests/conformance, one for each kind and place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from dbcore import DatabaseAway, FailureKind, OutcomeUnknown, Unavailable
from dbcore.breaker.local import BreakerState
from devstack.proxy import Cut, Rule
from devstack.proxy.wire import STARTUP
from tests.conformance.cases import CASES, EXPECTED, Case, Effect, End, Expected, Place
from tests.dbcore.conftest import eventually
from tests.dbcore.guard.conftest import Bank
from tests.dbcore.guard.ways import DEFAULT, WAYS, Kind, Way

K = FailureKind
_OPENS = {Effect.QUOTA: "quota", Effect.STORAGE: "storage", Effect.CONFIGURATION: "configuration"}


def _played() -> list[Case]:
    found: dict[tuple[K | None, Place], Case] = {}
    for case in CASES:
        # What ends the session, not the few codes by which a server says itself that it does not know.
        is_plain = case.kind is not K.UNKNOWN_OUTCOME or "administrator" in case.words
        if case.on_the_wire and is_plain and not case.outcome_open:
            found.setdefault((case.kind, case.place), case)
    return list(found.values())


PLAYED = _played()


def test_each_kind_of_failure_is_played() -> None:
    assert {case.kind for case in PLAYED} == {None, *K}


@pytest.fixture
def url(bank: Bank, database_url: str) -> str:
    bank.sql("UPDATE bank_accounts SET balance = 1000000")
    return bank.proxy.url_of(database_url.rpartition("/")[2])


def outcome(way: Way) -> Any:
    """The error that rose, or the answer."""
    try:
        return way.run()
    except Exception as error:  # noqa: BLE001  the test judges it
        return error


def answers(way: Way, wanted: int) -> bool:
    return bool(way.run() == wanted)


def expected(kind: Kind, case: Case) -> tuple[K | None, Expected]:
    """What the caller is told, and what happens. In a real transaction no statement before COMMIT leaves a doubt."""
    means = K.OUTAGE if case.kind is K.UNKNOWN_OUTCOME else case.kind
    happens = case.expected if means is case.kind else EXPECTED[means]
    if kind.attached and means is K.CONFIGURATION and case.place is Place.QUERY:
        means, happens = (
            K.DATA,
            EXPECTED[K.DATA],
        )  # a table that this role may not read is the program's affair
    return means, happens


@pytest.mark.parametrize("kind", WAYS, ids=str)
def test_a_failure_that_lasts_is_told_counted_and_tried_as_often_as_helps(
    kind: Kind, bank: Bank, url: str
) -> None:
    for case in PLAYED:
        means, happens = expected(kind, case)
        tries = happens.tries if kind.retries else 1
        with kind.open(url) as way:
            if case.place is Place.QUERY:
                way.run()
            before = bank.balance()
            bank.proxy.forget()
            bank.proxy.add(case.about(kind.statement).rule(times=None))
            seen = outcome(way)
            if happens.end is End.UNTOUCHED:
                assert isinstance(seen, DBAPIError) and not isinstance(seen, DatabaseAway), case
            elif kind.reads and (means is not K.CONFIGURATION or case.place is Place.CONNECT):
                assert seen == DEFAULT, case
            else:
                assert isinstance(seen, Unavailable) and seen.kind is means, case
                assert isinstance(seen, DBAPIError) is kind.attached, case

            if case.place is Place.QUERY:
                assert len(bank.proxy.statements(kind.statement)) == tries, case
            elif not kind.reads:  # after a default it asks by itself whether the server is there
                assert bank.proxy.count(STARTUP) == tries, case
            found = way.breaker.snapshot()
            if happens.breaker in _OPENS:
                assert (found.state, found.reason) == (BreakerState.OPEN, _OPENS[happens.breaker]), case
            elif not (kind.reads and case.place is Place.CONNECT):  # whose own questions are counted too
                failures = tries if happens.breaker is Effect.COUNTED else 0
                assert (found.state, found.failures) == (BreakerState.CLOSED, failures), case

            bank.proxy.clear()
            way.breaker.reset()
            assert bank.balance() == before, case
            if kind.reads:  # it has its default until its own question is answered
                eventually(partial(answers, way, before))
            else:
                assert way.run() == before - 10, case


@pytest.mark.parametrize("kind", WAYS, ids=str)
def test_a_failure_that_passes_costs_no_caller_anything_where_a_retry_helps(
    kind: Kind, bank: Bank, url: str
) -> None:
    for case in PLAYED:
        _, happens = expected(kind, case)
        if happens.tries == 1:
            continue
        with kind.open(url) as way:
            if case.place is Place.QUERY:
                way.run()
            before = bank.balance()
            after = before - (0 if kind.reads else 10)
            bank.proxy.add(case.about(kind.statement).rule(times=1))
            seen = outcome(way)
            if kind.retries:
                assert seen == after, case
            else:  # nothing was applied, and the next one is well
                assert isinstance(seen, Unavailable) and bank.balance() == before, case
                assert way.run() == after, case
            assert bank.balance() == after, case


@pytest.mark.parametrize("applied", [False, True], ids=["COMMIT is lost", "its answer is lost"])
@pytest.mark.parametrize("kind", [kind for kind in WAYS if not kind.reads], ids=str)
def test_a_loss_around_commit_is_resolved_by_a_key_and_told_without_one(
    kind: Kind, applied: bool, bank: Bank, url: str
) -> None:
    with kind.open(url) as way:
        before = way.run()
        bank.proxy.add(Rule(kind.committed if applied else kind.commit, Cut()))
        seen = outcome(way)
        if kind.keyed:
            assert seen == before - 10
        else:
            assert isinstance(seen, OutcomeUnknown) and isinstance(seen, DBAPIError) is kind.attached
        after = before - 10 if applied or kind.keyed else before
        assert bank.balance() == after
        assert way.run() == after - 10
