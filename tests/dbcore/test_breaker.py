from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dbcore.breaker.local import (
    Breaker,
    BreakerLimits,
    BreakerReason,
    BreakerState,
    Permit,
    Refusal,
    RemoteState,
    Transition,
)
from dbcore.failures import FailureKind


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock=clock, uniform=lambda low, _high: low)


def admitted(breaker: Breaker, *, writes: bool = True) -> Permit:
    answer = breaker.admit(writes=writes)
    assert isinstance(answer, Permit)
    return answer


def refused(breaker: Breaker, *, writes: bool = True) -> Refusal:
    answer = breaker.admit(writes=writes)
    assert isinstance(answer, Refusal)
    return answer


def fail(breaker: Breaker, times: int = 1, kind: FailureKind = FailureKind.OUTAGE) -> None:
    for _ in range(times):
        breaker.failed(admitted(breaker), kind)


def test_it_opens_at_the_failure_rate_and_not_before_the_minimum_of_calls(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 4)
    assert breaker.snapshot().state is BreakerState.CLOSED
    fail(breaker)
    assert breaker.snapshot().state is BreakerState.OPEN
    assert breaker.snapshot().reason is BreakerReason.OUTAGE
    assert refused(breaker).retry_at - clock.now == pytest.approx(0.5)


def test_a_busy_process_opens_as_fast_as_a_quiet_one(breaker: Breaker, clock: Clock) -> None:
    for _ in range(10_000):
        breaker.succeeded(admitted(breaker), clock.now)
    fail(breaker, 10)
    assert breaker.snapshot().state is BreakerState.OPEN


def test_failures_of_long_ago_do_not_count(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 4)
    clock.now += 31
    fail(breaker, 4)
    assert breaker.snapshot().state is BreakerState.CLOSED


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.STORAGE])
def test_one_definite_answer_is_enough(breaker: Breaker, kind: FailureKind) -> None:
    fail(breaker, 1, kind)
    assert breaker.snapshot().state is BreakerState.OPEN
    assert breaker.snapshot().reason == kind.value


def test_slow_calls_open_it_though_they_succeed(breaker: Breaker, clock: Clock) -> None:
    for _ in range(5):
        breaker.succeeded(admitted(breaker), clock.now - 3.0)
    assert breaker.snapshot().reason is BreakerReason.SATURATION


def test_time_outs_open_it_as_slow_calls_and_not_as_failures(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.succeeded(admitted(breaker), clock.now)
    fail(breaker, 11, FailureKind.SLOW)  # of 14: beyond half, short of four in five
    assert breaker.snapshot().state is BreakerState.CLOSED
    fail(breaker, 1, FailureKind.SLOW)
    assert breaker.snapshot().reason is BreakerReason.SATURATION


def test_it_closes_after_enough_probes(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 1.0
    breaker.succeeded(admitted(breaker), clock.now)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    breaker.succeeded(admitted(breaker), clock.now)
    assert breaker.snapshot().state is BreakerState.CLOSED


def test_each_failed_probe_doubles_the_interval_up_to_the_longest(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    intervals = []
    for _ in range(5):
        intervals.append(breaker.snapshot().retry_after_seconds)
        clock.now += intervals[-1]
        fail(breaker)
    assert intervals == pytest.approx([0.5, 0.8, 0.8, 0.8, 0.8])


def test_years_of_outage_do_not_overflow_the_interval(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(2_000):
        clock.now += 5
        fail(breaker)
    assert breaker.snapshot().retry_after_seconds == pytest.approx(0.8)


def test_half_open_admits_a_bounded_number_of_probes(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 1
    admitted(breaker)
    admitted(breaker)
    assert refused(breaker).retry_at - clock.now == pytest.approx(10)


def test_a_prober_that_died_gives_its_place_up(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 1
    lost = [admitted(breaker), admitted(breaker)]
    clock.now += 10
    admitted(breaker)
    breaker.failed(lost[0], FailureKind.OUTAGE)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN


def test_a_withdrawn_probe_frees_its_place_and_proves_nothing(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 1
    for _ in range(5):
        breaker.release(admitted(breaker))
    assert breaker.snapshot().state is BreakerState.HALF_OPEN


def test_a_result_from_before_it_opened_does_not_count(breaker: Breaker, clock: Clock) -> None:
    early = [admitted(breaker) for _ in range(4)]
    fail(breaker, 5)
    clock.now += 1
    admitted(breaker)
    for permit in early:
        breaker.succeeded(permit, clock.now)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN


def test_a_full_disk_is_still_read(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 1, FailureKind.STORAGE)
    refused(breaker)
    breaker.succeeded(admitted(breaker, writes=False), clock.now)
    assert breaker.snapshot().state is BreakerState.OPEN


def test_forced_open_and_disabled_stay_until_reset(breaker: Breaker, clock: Clock) -> None:
    breaker.force_open()
    clock.now += 10_000
    assert refused(breaker).reason is None
    breaker.disable()
    fail(breaker, 50)
    assert breaker.snapshot().state is BreakerState.DISABLED
    breaker.reset()
    assert breaker.snapshot().state is BreakerState.CLOSED


def closed_fleet(overridden_at: float) -> RemoteState:
    return RemoteState(0, BreakerState.CLOSED, None, 0.0, overridden_at)


@pytest.mark.parametrize("before", [0.0, 5.0])
def test_an_operators_word_frees_a_process_that_is_out_alone(breaker: Breaker, before: float) -> None:
    breaker.apply_remote(closed_fleet(before))
    fail(breaker, 5, FailureKind.CONFIGURATION)
    breaker.apply_remote(closed_fleet(before))
    refused(breaker)
    breaker.apply_remote(closed_fleet(7.0))
    assert breaker.snapshot().state is BreakerState.CLOSED
    fail(breaker, 5, FailureKind.CONFIGURATION)
    breaker.apply_remote(closed_fleet(7.0))
    assert breaker.snapshot().retry_after_seconds == pytest.approx(
        30.0
    )  # it began as new, and hears a word once


def test_a_word_from_before_it_was_there_frees_no_process(breaker: Breaker) -> None:
    fail(breaker, 5)
    breaker.apply_remote(closed_fleet(7.0))
    refused(breaker)


def test_a_state_that_was_lost_is_no_operators_word(breaker: Breaker) -> None:
    breaker.apply_remote(closed_fleet(7.0))
    fail(breaker, 5)
    breaker.apply_remote(closed_fleet(0.0))
    refused(breaker)


def test_each_transition_is_told_once_and_outside_the_lock(clock: Clock) -> None:
    told: list[Transition] = []

    def listen(transition: Transition) -> None:
        listening.snapshot()  # would hang inside the lock
        told.append(transition)

    listening = Breaker(clock=clock, uniform=lambda low, _high: low, on_transition=listen)
    fail(listening, 5)
    clock.now += 1
    for _ in range(2):
        listening.succeeded(admitted(listening), clock.now)
    assert [transition.after for transition in told] == ["open", "half_open", "closed"]


class BreakerMachine(RuleBasedStateMachine):
    """Any order of events, held against what must always be true."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limits = BreakerLimits()
        self.breaker = Breaker(clock=self.clock, limits=self.limits)
        self.permits: list[Permit] = []

    @initialize()
    def closed_at_first(self) -> None:
        assert self.breaker.snapshot().state is BreakerState.CLOSED

    @rule(writes=st.booleans())
    def admit(self, writes: bool) -> None:
        before = self.breaker.snapshot()
        answer = self.breaker.admit(writes=writes)
        if isinstance(answer, Permit):
            assert before.state is not BreakerState.FORCED_OPEN
            reads_from_full_disk = before.reason is BreakerReason.STORAGE and not writes
            if before.state is BreakerState.OPEN and not reads_from_full_disk:
                assert before.retry_after_seconds == 0
            self.permits.append(answer)
        else:
            assert before.state not in {BreakerState.CLOSED, BreakerState.DISABLED}
            assert answer.retry_at >= self.clock.now

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), seconds=st.sampled_from([0.001, 5.0]))
    def succeed(self, data: st.DataObject, seconds: float) -> None:
        self.breaker.succeeded(self._take(data), self.clock.now - seconds)

    @precondition(lambda self: self.permits)
    @rule(
        data=st.data(),
        kind=st.sampled_from([FailureKind.OUTAGE, FailureKind.SLOW, FailureKind.QUOTA, FailureKind.STORAGE]),
    )
    def fail(self, data: st.DataObject, kind: FailureKind) -> None:
        before = self.breaker.snapshot()
        permit = self._take(data)
        self.breaker.failed(permit, kind)
        if before.state is BreakerState.DISABLED:
            assert self.breaker.snapshot().state is BreakerState.DISABLED

    @precondition(lambda self: self.permits)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        before = self.breaker.snapshot()
        self.breaker.release(self._take(data))
        assert self.breaker.snapshot().state is before.state

    @rule(seconds=st.floats(0.01, 1_000))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(word=st.sampled_from(["force_open", "disable", "reset"]))
    def operate(self, word: str) -> None:
        getattr(self.breaker, word)()

    def _take(self, data: st.DataObject) -> Permit:
        return self.permits.pop(data.draw(st.integers(0, len(self.permits) - 1)))

    @invariant()
    def always(self) -> None:
        now = self.breaker.snapshot()
        assert 0 <= now.failures <= now.calls <= self.limits.window_calls
        assert 0 <= now.slow_calls <= now.calls
        assert (now.reason is not None) == (now.state in {BreakerState.OPEN, BreakerState.HALF_OPEN})
        assert now.since_seconds >= 0
        if now.state is BreakerState.OPEN:
            assert now.reason is not None
            assert now.retry_after_seconds <= self.limits.intervals[now.reason].longest_seconds

    @invariant()
    def never_stuck(self) -> None:
        """Whatever happened, waiting admits a probe again, unless an operator closed the door."""
        if self.breaker.snapshot().state in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
            later = self.clock.now + 2_000
            held, self.clock.now = self.clock.now, later
            longest = max(interval.longest_seconds for interval in self.limits.intervals.values())
            assert self.breaker.snapshot().retry_after_seconds == 0
            assert longest < 2_000
            self.clock.now = held


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
