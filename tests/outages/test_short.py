"""The short form of `make outages`; docs/outages.md tells of the long one."""

from __future__ import annotations

import json

import pytest

from tests.chaos.house import temporary_folder
from tests.outages.measure import measure


@pytest.mark.timeout(900)
def test_through_an_outage_everybody_is_answered_and_everything_is_done_once_in_order() -> None:
    with temporary_folder() as folder:
        (found,) = measure(folder, "stopped", times=1, seconds=5, per_second=15, seed=1)
    told = json.dumps(found.facts())
    assert not found.wrong, told
    assert found.answers, told
