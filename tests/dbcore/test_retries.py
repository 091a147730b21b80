"""How many retries a process has, with a fleet and without."""

from __future__ import annotations

import pytest
import redis

from dbcore.breaker.sync import BreakerSync
from dbcore.failures import FailureKind
from dbcore.guard.retries import BUDGET_MAX, RetryBudget
from devstack.ports import free_port
from tests.dbcore.conftest import MakeEngine
from tests.dbcore.test_breaker import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def purse(clock: Clock) -> RetryBudget:
    return RetryBudget(clock)


def spend(purse: RetryBudget) -> int:
    """All that is in it; how many that were."""
    spent = 0
    while purse.try_acquire(FailureKind.OUTAGE):
        spent += 1
        assert spent <= BUDGET_MAX
    return spent


def test_a_process_without_redis_has_a_purse_that_fills_by_itself_one_a_second(
    purse: RetryBudget, clock: Clock
) -> None:
    assert spend(purse) == BUDGET_MAX
    clock.now += 0.9
    assert spend(purse) == 0
    clock.now += 2.2
    assert spend(purse) == 3
    clock.now += 3_600
    assert spend(purse) == BUDGET_MAX


def test_in_a_fleet_it_is_filled_from_the_fleets_bucket_alone(purse: RetryBudget, clock: Clock) -> None:
    spend(purse)
    purse.refill(3)
    clock.now += 3_600
    assert spend(purse) == 3
    assert purse.deficit() == BUDGET_MAX
    purse.refill(2 * BUDGET_MAX)
    assert spend(purse) == BUDGET_MAX


def test_when_the_bucket_is_out_of_reach_it_fills_by_itself_from_then_on(
    purse: RetryBudget, clock: Clock
) -> None:
    purse.refill(0)
    spend(purse)
    clock.now += 3_600  # with the fleet
    purse.detach()
    assert spend(purse) == 0
    clock.now += 2
    purse.detach()  # as at each exchange that fails: it does not begin anew
    assert spend(purse) == 2


def test_conflicts_are_not_paid_for(purse: RetryBudget) -> None:
    spend(purse)
    assert purse.try_acquire(FailureKind.CONFLICT)
    assert not purse.try_acquire(FailureKind.SLOW)


def test_a_link_that_does_not_reach_redis_leaves_its_process_retries(
    make_engine: MakeEngine, clock: Clock
) -> None:
    engine = make_engine(clock=clock)
    engine.retries.refill(0)  # it was one of a fleet
    spend(engine.retries)
    with redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}/0", retry=None) as away:
        link = BreakerSync(away, engine, "p")
        link.step()
        clock.now += 4
        link.step()
    assert spend(engine.retries) == 4
