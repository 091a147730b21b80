"""What a failed call may still try: one row a kind, each with a budget of its own.

Conflicts are the price of concurrency and over in milliseconds; outages are not, and retries on them are the
load that keeps a database down. So one budget never pays for the other. The numbers for outages are AWS's of
2026: 50 ms for what is transient, 1 s for throttling, 3 attempts, full jitter.

Beyond a call's own budget stands the fleet's: however many processes there are, together they retry only so often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_random_exponential
from tenacity.stop import StopBaseT
from tenacity.wait import WaitBaseT

from dbcore.failures import FailureKind


@dataclass(frozen=True, slots=True, eq=False)
class RetryPolicy:
    """When to give up, and how long to wait before the next attempt: tenacity's strategies, or functions like them.

    stop -- such as `stop_after_attempt(3) | stop_after_delay(2)`.
    wait -- such as `wait_random_exponential(multiplier=0.05, max=1)`.

    Both get tenacity's RetryCallState: `attempt_number` counts the attempts that failed in a way this policy is for,
    `outcome` holds the last error, `upcoming_sleep` the next wait in seconds. Whatever they say, a call ends by its
    deadline, and what no retry can mend is never repeated.

        RetryPolicy(stop=stop_after_attempt(5), wait=wait_random_exponential(multiplier=0.1, max=2))
    """

    stop: StopBaseT
    wait: WaitBaseT


def _at_most(attempts: int, *, first_seconds: float, longest_seconds: float) -> RetryPolicy:
    """The n-th wait is drawn from 0 to first_seconds * 2 ** (n - 1)."""
    return RetryPolicy(
        stop_after_attempt(attempts), wait_random_exponential(multiplier=first_seconds, max=longest_seconds)
    )


_OUTAGE = _at_most(3, first_seconds=0.05, longest_seconds=1.0)
RETRIES: dict[FailureKind, RetryPolicy] = {
    FailureKind.CONFLICT: _at_most(11, first_seconds=0.001, longest_seconds=0.05),
    FailureKind.SLOW: _at_most(2, first_seconds=0.05, longest_seconds=0.05),
    FailureKind.OUTAGE: _OUTAGE,
    FailureKind.UNKNOWN_OUTCOME: _OUTAGE,
    FailureKind.SATURATION: _at_most(3, first_seconds=1.0, longest_seconds=2.0),
}
"""The kinds that a retry can mend. Two kinds with one policy share its attempts."""

Policies = RetryPolicy | Mapping[FailureKind, RetryPolicy]
"""One policy for all kinds that a retry can mend, or one for each; a kind without one is not retried."""

_RETRYING = Retrying()  # a state belongs to one; no strategy of tenacity's asks it anything


class RetryState:
    """The retries of one call."""

    def __init__(self, policies: Policies = RETRIES) -> None:
        self._policies = policies
        self._states: dict[RetryPolicy, RetryCallState] = {}

    def wait_seconds(self, kind: FailureKind, error: BaseException) -> float | None:
        """How long to wait before trying again, or None when this kind's budget is spent.

        error -- by which the attempt failed.
        """
        policy = self._policy_of(kind)
        if policy is None:
            return None
        state = self._states.get(policy)
        if state is None:
            state = self._states[policy] = RetryCallState(_RETRYING, None, (), {})
        else:
            state.attempt_number += 1
        state.set_exception((type(error), error, error.__traceback__))
        wait = state.upcoming_sleep = float(policy.wait(state))
        if policy.stop(state):
            return None
        state.idle_for += wait
        return wait

    def _policy_of(self, kind: FailureKind) -> RetryPolicy | None:
        if isinstance(self._policies, RetryPolicy):
            return self._policies if kind in RETRIES else None
        return self._policies.get(kind) if kind in RETRIES else None


BUDGET_MAX = 10
BUDGET_PER_SECOND = 1.0


class RetryBudget:
    """This process's share of the fleet's retries. Filled from the fleet's bucket while Redis is there, and slowly by
    itself while it is not. Conflicts are not paid for: they are no sign of trouble, and over in milliseconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._retries = BUDGET_MAX
        self._filled_by_itself_at: float | None = clock()

    def try_acquire(self, kind: FailureKind) -> bool:
        """Take one retry out. False where there is none left."""
        if kind is FailureKind.CONFLICT:
            return True
        with self._lock:
            self._fill_by_itself()
            if self._retries < 1:
                return False
            self._retries -= 1
            return True

    def deficit(self) -> int:
        """How many would fill it."""
        with self._lock:
            return BUDGET_MAX - self._retries

    def refill(self, retries: int) -> None:
        """What the fleet's bucket granted."""
        with self._lock:
            self._retries = min(BUDGET_MAX, self._retries + retries)
            self._filled_by_itself_at = None

    def detach(self) -> None:
        """The fleet's bucket is out of reach."""
        with self._lock:
            if self._filled_by_itself_at is None:
                self._filled_by_itself_at = self._clock()

    def _fill_by_itself(self) -> None:
        if self._filled_by_itself_at is None:
            return
        grown = int((self._clock() - self._filled_by_itself_at) * BUDGET_PER_SECOND)
        if grown > 0:
            self._retries = min(BUDGET_MAX, self._retries + grown)
            self._filled_by_itself_at += grown / BUDGET_PER_SECOND
