"""Each failure of the table, over the wire, through psycopg2 and SQLAlchemy as they are pinned."""

from __future__ import annotations

from itertools import takewhile

import psycopg2
import pytest
from sqlalchemy import Connection

from dbcore.breaker.local import BreakerLimits, BreakerReason, BreakerState, Interval
from dbcore.errors import OutcomeUnknown, Unavailable
from dbcore.failures import RULES, FailureKind
from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.proxy import Answer, Cut, Delay, FaultProxy, On, Rule, ServerError, Side, Silence
from devstack.proxy.wire import STARTUP
from tests.conformance.cases import CASES, MARK, MISSTATED_BEHIND_TLS, Case, End, Place
from tests.conformance.runner import ANSWER, Via, ask, engine_through, lie_idle, play

WAYS = [pytest.param(case, via, id=f"{case}-{via}") for case in CASES for via in Via]
RETRIED = [pytest.param(case, id=str(case)) for case in CASES if case.retried and case.on_the_wire]
OPEN_OUTCOMES = [
    pytest.param(case, id=str(case)) for case in CASES if case.expected.end is End.OUTCOME_UNKNOWN
]
STAYS_OPEN = BreakerLimits(intervals={reason: Interval(600.0, 600.0) for reason in BreakerReason})


@pytest.mark.parametrize(("case", "via"), WAYS)
def test_a_failure_that_lasts_is_told_by_its_kind(case: Case, via: Via, proxy: FaultProxy) -> None:
    played = play(case, proxy, DATABASE, via=via)
    untouched = case.expected.end is End.UNTOUCHED
    end, kind = case.expected.end, case.kind
    if via is Via.SQLALCHEMY and case.loses_the_session:  # inside a transaction, which is rolled back by that
        end = End.UNAVAILABLE
        kind = FailureKind.SLOW if kind is FailureKind.SLOW else FailureKind.OUTAGE
    assert played.end == end
    assert played.kind is (None if untouched else kind)
    assert played.tries == case.expected.tries
    assert played.breaker == case.expected.breaker
    is_counted = kind not in {None, FailureKind.DATA}
    assert played.kinds == ({kind: case.expected.tries} if is_counted else {})
    assert case.said in played.said


@pytest.mark.parametrize("case", RETRIED)
def test_a_failure_that_passes_is_not_seen_by_the_caller(case: Case, proxy: FaultProxy) -> None:
    played = play(case, proxy, DATABASE, times=1)
    assert (played.end, played.tries) == (ANSWER, 2)


@pytest.mark.parametrize("case", OPEN_OUTCOMES)
def test_a_read_has_no_open_outcome(case: Case, proxy: FaultProxy) -> None:
    played = play(case, proxy, DATABASE, writes=False)
    assert played.end is End.UNAVAILABLE
    assert played.kind is (FailureKind.SLOW if case.kind is FailureKind.SLOW else FailureKind.OUTAGE)
    assert played.tries == case.expected.tries


NOT_PLAYED = {
    "too many open files": "this process's or this host's own limit",
    "can't start new thread": "so is this",
    "timed out": "the kernel's, after minutes of its own",
    "connection reset by peer": "the kernel's, where libpq has not read the end before",
    "broken pipe": "the same",
    "no route to host": "needs a network without a way there",
    "network is unreachable": "the same",
    "network is down": "needs an interface that is down",
    "host is down": "the same, of a neighbour",
    "cannot assign requested address": "needs a host without IPv6, or without a free port",
    "connection has been closed unexpectedly": "OpenSSL's, by versions; seen is SSL SYSCALL error",
    "ssl error": "OpenSSL's of many forms; all begin so",
    "ssl syscall error": "behind TLS: test_encryption.py",
    "connection already closed": "psycopg2's, before it sends: tests/dbcore/test_failures.py",
    "connection not open": "the same",
    "connection pointer is null": "libpq's, of a connection that is no more",
    "no connection to the server": "the same",
    "could not receive data from server": "libpq's, around the kernel's words",
    "could not send data to server": "the same",
    "could not connect to server": "libpq's before version 14",
    "no password supplied": "libpq's, of an address without one: test_real_server.py",
}
"""Words of the table that no case says, and why: what the client's own system says when it cannot be made to."""


def test_every_row_of_the_table_is_played() -> None:
    """Where a code or a message is in the table, some case has it; a code of two characters is a class."""
    cases = (*CASES, *MISSTATED_BEHIND_TLS)
    answers = [case.fault.content for case in CASES if isinstance(case.fault, Answer)]
    sqlstates = {answer.sqlstate for answer in answers if isinstance(answer, ServerError) and answer.sqlstate}
    assert {row.kind for row in RULES} == {case.kind for case in cases if case.kind is not None}
    missing_codes = {
        state
        for row in RULES
        for state in row.sqlstates
        if not any(sqlstate.startswith(state) for sqlstate in sqlstates)
    }
    assert missing_codes == set()
    words = [(case.said or case.words).lower() for case in cases]
    missing = {
        message for row in RULES for message in row.messages if not any(message in word for word in words)
    }
    assert missing == set(NOT_PLAYED)


# --- the breaker


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FailureKind.OUTAGE, BreakerReason.OUTAGE),
        (FailureKind.SATURATION, BreakerReason.SATURATION),
        (FailureKind.AMBIGUOUS, BreakerReason.AMBIGUOUS),
        (FailureKind.QUOTA, BreakerReason.QUOTA),
        (FailureKind.CONFIGURATION, BreakerReason.CONFIGURATION),
    ],
)
def test_an_open_breaker_sends_nothing(kind: FailureKind, reason: BreakerReason, proxy: FaultProxy) -> None:
    case = next(case for case in CASES if case.kind is kind and case.place is Place.CONNECT)
    proxy.add(case.rule(times=None))
    with engine_through(proxy, DATABASE, limits=STAYS_OPEN) as engine:
        for _ in range(STAYS_OPEN.minimum_calls):
            with pytest.raises(Unavailable):
                ask(engine)
        snapshot = engine.snapshot()
        assert (snapshot.state, snapshot.reason) == (BreakerState.OPEN, reason)
        proxy.forget()
        for _ in range(20):
            with pytest.raises(Unavailable) as refused:
                ask(engine)
        assert refused.value.retry_after_seconds > 0
        assert (proxy.connections, proxy.statements()) == (0, [])


def test_a_lost_answer_is_unknown_also_when_the_breaker_forbids_the_retry(proxy: FaultProxy) -> None:
    """The write may have been applied before the breaker opened: refusing the retry makes that no less open."""
    limits = BreakerLimits(minimum_calls=1, failure_rate=0.01, intervals=STAYS_OPEN.intervals)
    with engine_through(proxy, DATABASE, limits=limits) as engine:
        ask(engine)
        proxy.add(Rule(On(Side.SERVER, kind="C", statement=MARK), Cut()))
        with pytest.raises(OutcomeUnknown) as unknown:
            ask(engine)
        assert unknown.value.retry_after_seconds > 0
        assert engine.snapshot().state is BreakerState.OPEN
        assert len(proxy.statements(MARK)) == 2


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(ServerError("cache lookup failed for type 4711", "XX000"), id="an answer"),
        pytest.param(ServerError("raised by a function", "P0001"), id="a function's error"),
    ],
)
def test_a_lost_answer_is_unknown_also_when_the_retry_meets_what_the_table_does_not_know(
    strange: ServerError, proxy: FaultProxy
) -> None:
    """The driver's error would say that nothing was applied, which only the same key can tell now."""
    with engine_through(proxy, DATABASE) as engine:
        ask(engine)
        proxy.add(Rule(On(Side.SERVER, kind="C", statement=MARK), Cut()))
        proxy.add(Rule(On(statement=MARK, nth=2), Answer(strange), times=None))
        with pytest.raises(OutcomeUnknown) as unknown:
            ask(engine)
        assert unknown.value.kind is FailureKind.UNKNOWN_OUTCOME
        assert unknown.value.retry_after_seconds > 0
        assert engine.snapshot().failed_operations == 1
        proxy.clear()
        assert ask(engine) == ANSWER


def test_a_read_whose_answer_was_lost_hears_what_the_retry_met(proxy: FaultProxy) -> None:
    with engine_through(proxy, DATABASE) as engine:
        ask(engine)
        proxy.add(Rule(On(Side.SERVER, kind="C", statement=MARK), Cut()))
        proxy.add(Rule(On(statement=MARK, nth=2), Answer(ServerError("raised by a function", "P0001"))))
        with pytest.raises(psycopg2.errors.RaiseException):
            ask(engine, writes=False)


def test_conflicts_and_bad_statements_never_open_the_breaker(proxy: FaultProxy) -> None:
    neutral = [case for case in CASES if case.expected.breaker == "neutral"]
    for case in neutral * 2:
        assert play(case, proxy, DATABASE).breaker == "neutral"


# --- an operation's transaction


@pytest.mark.parametrize(
    ("on", "applied"),
    [
        # The first that has this word is BEGIN ISOLATION LEVEL READ COMMITTED.
        pytest.param(On(statement="COMMIT", nth=2), False, id="before COMMIT"),
        pytest.param(On(Side.SERVER, kind="C", statement="COMMIT", nth=2), True, id="before its answer"),
    ],
)
def test_a_connection_lost_around_commit_leaves_the_outcome_open(
    on: On, applied: bool, proxy: FaultProxy, database: str
) -> None:
    with engine_through(proxy, database) as engine:
        engine.fetch_row("CREATE TABLE marks (mark int); SELECT 1", name="prepare")
        proxy.add(Rule(on, Cut()))

        def mark(connection: Connection) -> None:
            connection.exec_driver_sql("INSERT INTO marks VALUES (1)")

        with pytest.raises(OutcomeUnknown):
            engine.call(mark, name="mark")
        assert proxy.statements("COMMIT")[1:] == ["COMMIT"]
        assert engine.fetch_row("SELECT count(*) FROM marks", name="count") == (int(applied),)


# --- a connection that is new, or was idle


@pytest.mark.parametrize("via", Via)
def test_a_connection_lost_during_the_first_questions_of_sqlalchemy_is_an_outage(
    via: Via, proxy: FaultProxy
) -> None:
    """Our statement was not sent yet: the outcome is not open, however often it happens."""
    with engine_through(proxy, DATABASE) as engine:
        ask(engine, via)
    questions = list(takewhile(lambda statement: MARK not in statement, proxy.statements()))
    for question in questions:
        proxy.clear()
        proxy.forget()
        with engine_through(proxy, DATABASE) as engine:
            proxy.add(Rule(On(Side.SERVER, kind="Z", statement=question), Cut(), times=None))
            with pytest.raises(Unavailable) as away:
                ask(engine, via)
            assert away.value.kind is FailureKind.OUTAGE
            assert proxy.count(STARTUP) == 3
            proxy.clear()
            assert ask(engine, via) == ANSWER


@pytest.mark.parametrize("fault", [Cut(), Cut(1.0), Silence()], ids=["cut", "lost", "silence"])
def test_an_idle_connection_that_is_gone_costs_no_failed_call(
    fault: Cut | Silence, proxy: FaultProxy
) -> None:
    with engine_through(proxy, DATABASE, ping_after_idle_seconds=0.0) as engine:
        ask(engine)
        proxy.add(Rule(On(statement="SELECT 1"), fault))
        assert ask(engine) == ANSWER
        assert engine.snapshot().failures_by_kind == {}
        assert proxy.count(STARTUP) == 2


def test_all_that_a_probe_says_is_marked_as_one_s(proxy: FaultProxy) -> None:
    """Also where it tries a connection first: while the breaker is open nothing else may be said."""
    with engine_through(proxy, DATABASE, ping_after_idle_seconds=0.0) as engine:
        ask(engine)
        proxy.forget()
        assert engine.probe(writes=False) is None
        statements = proxy.statements()
        assert len(statements) == 2
        assert all("/* leased probe */" in statement for statement in statements)


def test_a_pooler_s_farewell_to_an_idle_connection_costs_no_failed_call(
    proxy: FaultProxy, postgres_server: EmbeddedPostgres
) -> None:
    with engine_through(proxy, DATABASE) as engine:
        ask(engine)
        proxy.sever()
        lie_idle()
        assert ask(engine) == ANSWER
        assert engine.snapshot().failures_by_kind == {}


def test_a_refusal_comes_back_when_the_listener_does(proxy: FaultProxy) -> None:
    with engine_through(proxy, DATABASE) as engine:
        proxy.refuse()
        with pytest.raises(Unavailable) as away:
            ask(engine)
        assert away.value.kind is FailureKind.OUTAGE
        assert engine.snapshot().retries_total == 2
        proxy.accept()
        assert ask(engine) == ANSWER


def test_a_slow_network_is_no_failure(proxy: FaultProxy) -> None:
    with engine_through(proxy, DATABASE) as engine:
        proxy.add(Rule(On(Side.SERVER), Delay(0.02), times=None))
        assert ask(engine) == ANSWER
        assert engine.snapshot().failures_by_kind == {}
