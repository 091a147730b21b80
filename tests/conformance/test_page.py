"""docs/failures.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tenacity import stop_after_attempt

from ballast.inbox.limits import UNKNOWN_KIND_AGAIN_SECONDS, UNKNOWN_KIND_SECONDS
from dbcore.breaker.local import REASONS, BreakerLimits
from dbcore.breaker.store import RETRIES_MAX, RETRIES_PER_SECOND
from dbcore.failures import FailureKind
from dbcore.guard.retries import BUDGET_MAX, RETRIES, RetryPolicy
from tests.conformance.cases import EXPECTED
from workers.giving_back import DELIVERIES_MAX

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()


def rows() -> dict[str, list[str]]:
    """The table of kinds: its other columns by kind."""
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    return {kind: rest.split(" | ") for kind, rest in lines}


def attempts(policy: RetryPolicy) -> int:
    assert isinstance(policy.stop, stop_after_attempt)
    return policy.stop.max_attempt_number


def test_the_page_has_each_kind_with_its_tries() -> None:
    assert rows().keys() == set(FailureKind)
    for kind in FailureKind:
        retries = RETRIES.get(kind)
        assert int(rows()[kind][2]) == (attempts(retries) if retries else 1) == EXPECTED[kind].tries


def test_the_page_has_each_kind_with_its_open_interval() -> None:
    intervals = BreakerLimits().intervals
    for kind in FailureKind:
        reason = REASONS.get(kind)
        told = rows()[kind][4]
        if reason is None:
            assert told == "-"
        else:
            interval = intervals[reason]
            assert told == f"{interval.first_seconds:g} to {interval.longest_seconds:g}"


def test_the_page_has_the_bounds_of_one_job() -> None:
    assert 1 + sum(attempts(retries) - 1 for retries in set(RETRIES.values())) == 16
    assert "16 if every kind had its turn" in PAGE
    assert f"{DELIVERIES_MAX} deliveries that never finished" in PAGE
    limits = BreakerLimits()
    assert f"(of {limits.window_calls}, and of no less than {limits.minimum_calls})" in PAGE
    assert f"only leased probes, {limits.probes_at_once} at once" in PAGE
    assert f"for {UNKNOWN_KIND_SECONDS} s from when a worker was first handed it" in PAGE
    assert f"due again after {UNKNOWN_KIND_AGAIN_SECONDS} s |" in PAGE
    assert f"a budget of {BUDGET_MAX}" in PAGE
    assert f"one bucket of {RETRIES_MAX} that grows by {RETRIES_PER_SECOND:g} a second" in PAGE
