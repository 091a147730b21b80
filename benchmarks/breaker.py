"""What the breaker costs a call, beside pybreaker and interlock-cb in the same run.

closed    leave to call, a call of nothing, its success told
open      a refusal, as whoever calls meets it

Each as its users write it, with its own lock and window: what is compared is the time a call takes longer for it. The
three take turns, and the least of the turns counts, for what else the machine does only adds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import interlock
import pybreaker

from dbcore.breaker.local import Breaker, BreakerState, Permit, Refusal
from dbcore.failures import FailureKind

CALLS = 2_000
TURNS = 60


def run() -> dict[str, Any]:
    """Nanoseconds that each breaker adds to a call, closed and open."""
    found: dict[str, Any] = {}
    for state, contenders in (("closed", _closed()), ("open", _open())):
        least = dict.fromkeys(contenders, float("inf"))
        empty = float("inf")
        for _ in range(TURNS):
            empty = min(empty, _nanoseconds(_nothing))
            for name, call in contenders.items():
                least[name] = min(least[name], _nanoseconds(call))
        added = {name: round(nanoseconds - empty) for name, nanoseconds in least.items()}
        better = min(added["pybreaker"], added["interlock"])
        found[state] = {**added, "times_faster": round(better / added["ballast"], 2)}
    return found


def _closed() -> dict[str, Callable[[], None]]:
    mine = _ballast(Breaker(clock=time.monotonic))
    theirs = pybreaker.CircuitBreaker()
    others = interlock.CircuitBreaker(name="bench")
    return {
        "ballast": mine,
        "pybreaker": lambda: theirs.call(_nothing),
        "interlock": lambda: others.call_sync(_nothing),
    }


def _open() -> dict[str, Callable[[], None]]:
    breaker = Breaker(clock=time.monotonic)
    permit = breaker.admit(True)
    assert not isinstance(permit, Refusal)  # noqa: S101  a new breaker is closed
    breaker.failed(permit, FailureKind.QUOTA)
    assert breaker.snapshot().state is BreakerState.OPEN  # noqa: S101
    theirs = pybreaker.CircuitBreaker()
    theirs.open()
    others = interlock.CircuitBreaker(name="bench")
    others.force_open()

    # contextlib.suppress would add to what is measured.
    def pybreaker_refuses() -> None:
        try:  # noqa: SIM105
            theirs.call(_nothing)
        except pybreaker.CircuitBreakerError:
            pass

    def interlock_refuses() -> None:
        try:  # noqa: SIM105
            others.call_sync(_nothing)
        except interlock.CircuitOpenError:
            pass

    return {
        "ballast": _ballast(breaker),
        "pybreaker": pybreaker_refuses,
        "interlock": interlock_refuses,
    }


def _ballast(breaker: Breaker) -> Callable[[], None]:
    """As the engine uses it."""
    clock = time.monotonic

    def asked() -> Permit | None:
        answer = breaker.admit(True)
        return None if isinstance(answer, Refusal) else answer

    def call() -> None:
        started = clock()
        permit = breaker.free_permit or asked()
        if permit is None:
            return
        _nothing()
        breaker.succeeded(permit, started)

    return call


def _nothing() -> None:
    """Stands for the call that is guarded."""


def _nanoseconds(call: Callable[[], None]) -> float:
    started = time.perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (time.perf_counter_ns() - started) / CALLS
