"""The fleet's breaker as a value, in any order of events."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dbcore.breaker.local import Breaker, Call, Permit, Refusal
from dbcore.breaker.rules import BreakerLimits, BreakerReason, BreakerState, Interval
from dbcore.breaker.state import LEASE_SECONDS, RECENT_SECONDS, STEADY_SECONDS, FleetState, failing
from dbcore.failures import RISES, FailureKind
from tests.dbcore.test_breaker import Clock

LIMITS = BreakerLimits()
R = BreakerReason


def calls(
    count: int,
    *,
    failed: BreakerReason | None = None,
    slow: bool = False,
    age: float = 0.0,
    trips_at_once: bool = False,
) -> list[Call]:
    reason = failed or (R.SATURATION if slow else None)
    return [Call(age, failed is not None, slow, reason, trips_at_once)] * count


def opened(fleet: FleetState, now: float, reason: BreakerReason = R.OUTAGE) -> FleetState:
    after = fleet.evaluated(calls(5, failed=reason), now=now, limits=LIMITS, jitter=0.0)
    assert after.state is BreakerState.OPEN
    return after


def stuck(count: int) -> list[Call]:
    return [Call(0.0, failed=True, slow=True, reason=R.OUTAGE, trips_at_once=False, stuck=True)] * count


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (stuck(2) + calls(50, age=RECENT_SECONDS + 0.1), R.OUTAGE),  # nobody is answered any more
        (stuck(2) + calls(1, age=RECENT_SECONDS) + calls(19, age=RECENT_SECONDS + 1), None),  # somebody is
        (stuck(1) + calls(4, age=RECENT_SECONDS + 0.1), None),  # one call alone may be a hard one
        (calls(4, failed=R.OUTAGE), None),
        (calls(5, failed=R.OUTAGE), R.OUTAGE),
        (calls(10, failed=R.OUTAGE) + calls(11), None),
        (calls(10, failed=R.OUTAGE) + calls(10), R.OUTAGE),
        (calls(20, failed=R.OUTAGE) + calls(140), None),  # one process's own trouble among eight
        (calls(10, failed=R.OUTAGE) + calls(20, age=RECENT_SECONDS + 1), R.OUTAGE),  # an idle process's past
        (calls(5, failed=R.OUTAGE) + calls(20, age=RECENT_SECONDS + 1), None),  # only 5 in the last 20
        (calls(20, failed=R.OUTAGE, age=LIMITS.window_seconds + 1), None),
        (calls(4, slow=True), None),
        (calls(8, slow=True) + calls(2), R.SATURATION),
        (calls(7, slow=True) + calls(3), None),
        (calls(7, failed=R.SATURATION, slow=True) + calls(3), None),  # time-outs are slow calls
        (calls(8, failed=R.SATURATION, slow=True) + calls(2), R.SATURATION),
        (calls(1, failed=R.QUOTA, trips_at_once=True) + calls(99), R.QUOTA),
        (calls(3, failed=R.OUTAGE) + calls(2, failed=R.SATURATION), R.OUTAGE),
        ([], None),
    ],
)
def test_the_fleet_opens_by_the_calls_of_all(window: Sequence[Call], expected: BreakerReason | None) -> None:
    # "only 5 in the last 20": the old ones fill the window up before they are cut off.
    assert failing(window, LIMITS) is expected


def test_calls_too_few_for_any_one_process_open_it_together() -> None:
    """Four processes with two failures each: none of them may judge alone."""
    clock = Clock()
    breakers = [Breaker(clock=clock) for _ in range(4)]
    for breaker in breakers:
        for _ in range(2):
            permit = breaker.admit(writes=True)
            assert isinstance(permit, Permit)
            breaker.failed(permit, FailureKind.OUTAGE)
    assert {breaker.snapshot().state for breaker in breakers} == {BreakerState.CLOSED}
    assert failing([call for breaker in breakers for call in breaker.calls()], LIMITS) is R.OUTAGE


def test_intervals_grow_by_their_reason_and_shrink_after_a_steady_time() -> None:
    limits = BreakerLimits(intervals={R.OUTAGE: Interval(1.0, 4.0), R.QUOTA: Interval(60.0, 60.0)})
    fleet, now, lengths = FleetState(), 1000.0, []
    fleet = fleet.evaluated(calls(5, failed=R.OUTAGE), now=now, limits=limits, jitter=0.0)
    for _ in range(3):
        lengths.append(fleet.until - now)
        now = fleet.until
        fleet = fleet.with_lease("a", "p", now=now, limits=limits)
        fleet = fleet.with_probe_result("a", R.OUTAGE, now=now, limits=limits, jitter=0.0)
    lengths.append(fleet.until - now)
    assert lengths == pytest.approx([1, 2, 4, 4])

    def close(fleet: FleetState, at: float) -> FleetState:
        for name in ("b", "c"):
            fleet = fleet.with_lease(name, "p", now=at, limits=limits)
            fleet = fleet.with_probe_result(name, None, now=at, limits=limits, jitter=0.0)
        assert fleet.state is BreakerState.CLOSED
        return fleet

    closed_at = fleet.until
    fleet = close(fleet, closed_at)
    soon = fleet.evaluated(calls(5, failed=R.OUTAGE), now=closed_at + 1, limits=limits, jitter=0.0)
    assert soon.until - soon.since == pytest.approx(4)
    later = fleet.evaluated(
        calls(5, failed=R.OUTAGE), now=closed_at + STEADY_SECONDS, limits=limits, jitter=0.2
    )
    assert later.until - later.since == pytest.approx(0.8)


def test_what_comes_right_after_a_long_outage_has_its_own_first_interval() -> None:
    """A server that went down for its full disk comes back read-only."""
    fleet = opened(FleetState(), 1000.0)
    for _ in range(20):
        now = fleet.until
        fleet = fleet.with_lease("a", "p", now=now, limits=LIMITS)
        fleet = fleet.with_probe_result("a", R.OUTAGE, now=now, limits=LIMITS, jitter=0.0)
    for name in ("b", "c"):
        now = fleet.until
        fleet = fleet.with_lease(name, "p", now=now, limits=LIMITS)
        fleet = fleet.with_probe_result(name, None, now=now, limits=LIMITS, jitter=0.0)
    assert fleet.state is BreakerState.CLOSED
    full = calls(1, failed=R.STORAGE, trips_at_once=True)
    fleet = fleet.evaluated(full, now=now + 1, limits=LIMITS, jitter=0.0)
    assert fleet.until - fleet.since <= 2 * LIMITS.intervals[R.STORAGE].first_seconds


def test_probes_that_fail_leave_the_time_since_when_it_is_shut() -> None:
    fleet = opened(FleetState(), 100.0)
    for now in (110.0, 120.0, 130.0):
        leased = fleet.with_lease(f"at {now}", "a", now=now, limits=LIMITS)
        assert leased.open_since == 100.0
        fleet = leased.with_probe_result(f"at {now}", R.OUTAGE, now=now, limits=LIMITS, jitter=0.0)
        assert (fleet.since, fleet.open_since) == (now, 100.0)
    assert fleet.overridden(BreakerState.FORCED_OPEN, now=140.0).open_since == 140.0
    assert fleet.overridden(BreakerState.CLOSED, now=150.0).open_since == 0.0


def test_years_of_outage_do_not_overflow_the_interval() -> None:
    fleet = opened(FleetState(openings=100_000), 0.0)
    assert fleet.until == pytest.approx(LIMITS.intervals[R.OUTAGE].longest_seconds)


def test_a_dead_prober_gives_its_place_up_and_its_answer_no_longer_counts() -> None:
    fleet = opened(FleetState(), 0.0)
    now = fleet.until
    fleet = fleet.with_lease("dead", "p", now=now, limits=LIMITS)
    fleet = fleet.with_lease("slow", "q", now=now, limits=LIMITS)
    assert fleet.with_lease("third", "r", now=now, limits=LIMITS) is fleet
    later = now + LEASE_SECONDS
    fleet = fleet.with_lease("third", "r", now=later, limits=LIMITS)
    assert [lease.id for lease in fleet.leases] == ["third"]
    assert fleet.with_probe_result("slow", R.OUTAGE, now=later, limits=LIMITS, jitter=0.0) is fleet


def test_a_process_holds_one_lease_at_a_time() -> None:
    fleet = opened(FleetState(), 0.0)
    fleet = fleet.with_lease("a", "p", now=fleet.until, limits=LIMITS)
    assert fleet.with_lease("b", "p", now=fleet.since, limits=LIMITS) is fleet


def test_an_operators_word_is_not_overruled_by_calls() -> None:
    for word in (BreakerState.FORCED_OPEN, BreakerState.DISABLED):
        fleet = FleetState().overridden(word, now=5.0)
        assert fleet.evaluated(calls(99, failed=R.QUOTA), now=6.0, limits=LIMITS, jitter=0.0) is fleet
        assert fleet.with_lease("a", "p", now=9e9, limits=LIMITS) is fleet


@given(
    st.builds(
        FleetState,
        version=st.integers(0),
        state=st.sampled_from(BreakerState),
        reason=st.none() | st.sampled_from(BreakerReason),
        since=st.floats(0, 4e9),
    )
)
def test_a_state_survives_being_written_down(fleet: FleetState) -> None:
    assert FleetState.from_json(fleet.to_json()) == fleet


def test_the_names_in_redis_are_those_of_the_release_before() -> None:
    fleet = FleetState(open_since=1.0, overridden_at=2.0, overridden_by="Ada", open_reason=R.QUOTA)
    kept = json.loads(fleet.to_json())
    assert (kept["shut_since"], kept["told_at"], kept["told_by"], kept["shut_reason"]) == (
        1.0,
        2.0,
        "Ada",
        "quota",
    )
    assert FleetState.from_json(fleet.to_json()) == fleet


def test_what_another_release_wrote_is_understood() -> None:
    text = (
        '{"version": 3, "epoch": 2, "state": "open", "reason": "quota", "since": 1.0, "until": 2.0, "new": 1}'
    )
    assert FleetState.from_json(text).reason is R.QUOTA


PROCESSES = ("a", "b", "c")


class FleetMachine(RuleBasedStateMachine):
    """Three processes on one kept value. Any of them may stop in the middle, answer late, or decide on an old value;
    the store's compare and set is all that orders them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.kept = FleetState()
        self.breakers = {
            name: Breaker(clock=self.clock, uniform=lambda low, _high: low) for name in PROCESSES
        }
        self.known = dict.fromkeys(PROCESSES, self.kept)
        self.heard: dict[str, float] = {}  # when an operator's last word was said that it knows of
        self.leases: list[str] = []
        self.granted: dict[str, float] = {}
        self.numbers = 0

    def commit(self, before: FleetState, after: FleetState) -> bool:
        if after is before or before.version != self.kept.version:
            return False
        assert after.version == before.version + 1
        if after.state is not before.state:
            assert after.epoch == before.epoch + 1
        self.kept = after
        return True

    @rule(name=st.sampled_from(PROCESSES), kind=st.none() | st.sampled_from(sorted(FailureKind)))
    def call(self, name: str, kind: FailureKind | None) -> None:
        breaker = self.breakers[name]
        permit = breaker.admit(writes=True)
        if not isinstance(permit, Permit):
            return
        if kind is None or kind in {FailureKind.CONFLICT, *RISES}:
            breaker.succeeded(permit, self.clock.now)
        else:
            breaker.failed(permit, kind)

    @rule(name=st.sampled_from(PROCESSES))
    def hear(self, name: str) -> None:
        self.known[name] = self.kept
        breaker = self.breakers[name]
        breaker.apply_remote(self.kept.order(self.clock.now))
        word = self.heard.get(name, self.kept.overridden_at) != self.kept.overridden_at
        self.heard[name] = self.kept.overridden_at
        if word and self.kept.state is BreakerState.CLOSED:
            assert breaker.free_permit is not None
        answer = breaker.admit(writes=True)
        if self.kept.state in {BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.FORCED_OPEN}:
            assert isinstance(answer, Refusal)
        if self.kept.state is BreakerState.DISABLED:
            assert isinstance(answer, Permit)
        if isinstance(answer, Permit):
            breaker.release(answer)

    @rule(name=st.sampled_from(PROCESSES))
    def judge(self, name: str) -> None:
        before = self.known[name]
        window = [call for breaker in self.breakers.values() for call in breaker.calls()]
        after = before.evaluated(window, now=self.clock.now, limits=LIMITS, jitter=0.1)
        if self.commit(before, after):
            assert before.state is BreakerState.CLOSED
            assert after.state is BreakerState.OPEN

    @rule(name=st.sampled_from(PROCESSES))
    def lease(self, name: str) -> None:
        before, now = self.known[name], self.clock.now
        self.numbers += 1
        lease_id = f"lease{self.numbers}"
        after = before.with_lease(lease_id, name, now=now, limits=LIMITS)
        if self.commit(before, after):
            assert before.state is BreakerState.HALF_OPEN or now >= before.until
            self.leases.append(lease_id)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), failure=st.none() | st.sampled_from(BreakerReason))
    def answer(self, data: st.DataObject, failure: BreakerReason | None) -> None:
        lease_id = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        before = self.kept
        after = before.with_probe_result(lease_id, failure, now=self.clock.now, limits=LIMITS, jitter=0.1)
        if after is not before:
            assert any(lease.id == lease_id for lease in before.leases)
            assert after.state in (
                {BreakerState.OPEN} if failure else {BreakerState.HALF_OPEN, BreakerState.CLOSED}
            )
        self.commit(before, after)

    @rule(name=st.sampled_from(PROCESSES))
    def lose_redis(self, name: str) -> None:
        self.breakers[name].detach()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 100.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(state=st.sampled_from([BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.CLOSED]))
    def tell(self, state: BreakerState) -> None:
        self.commit(self.kept, self.kept.overridden(state, now=self.clock.now))

    @invariant()
    def leases_are_bounded_and_only_while_half_open(self) -> None:
        live = [lease for lease in self.kept.leases if lease.until > self.clock.now]
        assert len(live) <= LIMITS.probes_at_once
        assert not live or self.kept.state is BreakerState.HALF_OPEN

    @invariant()
    def it_has_a_reason_when_it_opened_by_itself(self) -> None:
        by_itself = self.kept.state in {BreakerState.OPEN, BreakerState.HALF_OPEN}
        assert by_itself == (self.kept.reason is not None)

    @invariant()
    def never_stuck(self) -> None:
        """Whatever died: after the longest interval and one lease's time, someone gets a lease."""
        if self.kept.state in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
            later = self.clock.now + 2_000
            assert self.kept.with_lease("later", "z", now=later, limits=LIMITS) is not self.kept


TestFleetMachine = FleetMachine.TestCase
TestFleetMachine.settings = hypothesis_settings(max_examples=80, stateful_step_count=40, deadline=None)
