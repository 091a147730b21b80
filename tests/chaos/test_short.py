"""The short form of `make chaos`; docs/chaos.md tells of the long one."""

from __future__ import annotations

import pytest

from tests.chaos.report import lines
from tests.chaos.run import run
from tests.harness.servers import temporary_folder

SECONDS = 12


@pytest.mark.timeout(900)
def test_under_fire_nothing_is_lost_and_nothing_is_done_twice() -> None:
    with temporary_folder() as folder:
        outcome = run(folder, seconds=SECONDS, seed=3)
    told = "\n".join(lines(outcome))
    assert outcome.passed, told
    assert sum(outcome.damage.injected.values()) > 5, told
    assert outcome.verdict.commands > SECONDS, told


@pytest.mark.timeout(600)
def test_in_fair_weather_nobody_is_even_answered_twice() -> None:
    with temporary_folder() as folder:
        outcome = run(folder, seconds=5, seed=3, faults=())
    told = "\n".join(lines(outcome))
    assert outcome.passed, told
    assert outcome.verdict.replies_doubled == 0, told
