"""The short form of `make fuzz`."""

from __future__ import annotations

from tests.fuzz.fuzzing import fuzzer_at
from tests.harness.queueing import queueing_at


def test_no_update_whatever_trips_the_frontend_or_makes_an_admin_of_anybody(redis_url: str) -> None:
    with queueing_at(redis_url) as queueing:
        fuzzer = fuzzer_at(queueing, every=20)
        fuzzer.run(seed=1, count=4_000)
    # Whatever is never seen is never tested.
    kinds = {
        "unreadable",
        "not for us",
        "small talk",
        "not their own words",
        "replies.deliver",
        "balances.ask_adjustment",
        "balances.decide_adjustment",
        "transactions.create",
        "transactions.record_payment",
    }
    assert kinds | {"transactions.confirm", "users.set_status", "transactions.history"} <= fuzzer.seen.keys()
