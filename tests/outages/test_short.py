"""The short form of `make outages`; docs/outages.md tells of the long one."""

from __future__ import annotations

import json

import pytest

from tests.harness.servers import temporary_folder
from tests.outages.measure import measure

CHILDREN = 16
"""Of one worker: all of them begin at once when the queue pauser opens, and that must not open the breaker again."""


@pytest.mark.timeout(900)
def test_through_outages_everybody_is_answered_and_everything_is_done_once_in_order() -> None:
    with temporary_folder() as folder:
        outages = measure(
            folder,
            ["stopped", "read-only", "quota"],
            seconds=5,
            per_second=15,
            seed=1,
            children=CHILDREN,
        )
    for found in outages:
        told = json.dumps(found.facts())
        assert not found.wrong, told
        assert found.answers, told
