"""Failed jobs found by what they have in common, and many of them retried or discarded at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope, reference_of
from dbcore import admin_actions, failed_operations
from dbcore.failed_operations import Filters
from dbcore.guard.engine import GuardedEngine
from tests.bot_frontend.api.conftest import Client
from tests.harness.queueing import Queueing

BOOM = "ValueError: no row 4711 for job 7f3a\nTraceback"


def fail(engine: GuardedEngine, number: int, *, kind: str | None = None, error: str = "boom") -> str:
    """A failed job's reference."""
    envelope = Envelope.of(ShowBalance(telegram_id=1000 + number), job_id=f"job-{number}", lane=f"u:{number}")
    failed_operations.record(
        engine,
        job_id=envelope.job_id,
        kind=kind or envelope.kind,
        reference=reference_of(envelope.job_id),
        telegram_id=1000 + number,
        error=error,
        payload=envelope.model_dump(mode="json"),
    )
    return reference_of(envelope.job_id)


async def test_failed_jobs_are_found_by_error_cause_kind_user_and_time(
    api: Client, engine: GuardedEngine
) -> None:
    first = fail(engine, 1, error=BOOM)
    second = fail(engine, 2, error="KeyError: 'name'")
    since = failed_operations.find(engine, second).created_at.isoformat()  # type: ignore[union-attr]
    third = fail(engine, 3, kind="apps.gift", error="ValueError: no row 9 for job 12")
    for filters, expected in (
        ({"error": "no ROW"}, [third, first]),
        ({"cause": "ValueError: no row # for job #"}, [third, first]),
        ({"cause": "ValueError: no row 9 for job 12"}, []),
        ({"kind": "apps.gift"}, [third]),
        ({"telegram_id": "1002"}, [second]),
        ({"since": since}, [third, second]),
        ({"until": since}, [first]),
        ({"error": "row", "until": since}, [first]),
    ):
        query = "&".join(
            f"{name}={value}".replace("+", "%2B").replace("#", "%23") for name, value in filters.items()
        )
        found = await api.get(f"/jobs?{query}")
        assert [job["reference"] for job in found.body["items"]] == expected, filters


async def test_failed_jobs_are_counted_by_cause(api: Client, engine: GuardedEngine) -> None:
    for number in range(3):
        fail(engine, number, error=f"ValueError: no row {number}\nTraceback, line {number}")
    fail(engine, 7, error="KeyError: 'name'")
    failed_operations.record(
        engine,
        job_id="of-app",
        kind="apps.gift",
        reference="AAAAAAA2",
        telegram_id=None,
        error="",
        payload={},
    )
    found = (await api.get("/jobs/causes")).body
    assert (found["total"], found["is_all"]) == (5, True)
    assert [(each["kind"], each["cause"], each["count"]) for each in found["items"]] == [
        ("balances.show", "ValueError: no row #", 3),
        ("apps.gift", "", 1),
        ("balances.show", "KeyError: 'name'", 1),
    ]
    of_app = (await api.get("/jobs/causes?kind=apps.gift")).body
    assert (of_app["total"], len(of_app["items"])) == (1, 1)


async def test_all_that_match_are_retried_once_though_each_request_comes_twice(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    for number in range(230):
        fail(engine, number, error="ValueError: x" if number < 220 else "KeyError: y")
    done, cursor, requests = 0, None, 0
    while True:
        body: Any = {"matching": {"error": "ValueError"}, "cursor": cursor, "reason": "mended"}
        first, again = [await api.post("/jobs/retry", body, once=f"page-{requests}") for _ in range(2)]
        assert first.status == again.status == 200, (first.body, again.body)
        assert first.body == again.body
        assert again.headers["idempotency-replayed"] == "true"
        done, requests, cursor = done + first.body["done"], requests + 1, first.body["next_cursor"]
        if cursor is None:
            break
    assert (done, requests, queueing.inbox.size()) == (220, 3, 220)
    assert failed_operations.count_open(engine) == 10
    booked = admin_actions.search(engine, admin_actions.Filters(action="dead_letter"), limit=300).items
    assert len([each for each in booked if each.reason == "mended" and each.actor == "api:owner"]) == 220


async def test_two_same_requests_at_a_time_resolve_the_same_jobs_once(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    for number in range(150):
        fail(engine, number)
    body: Any = {"matching": {}}
    one, other = await asyncio.gather(*(api.post("/jobs/retry", body, once="k") for _ in range(2)))
    assert {one.status, other.status} == {200}
    assert queueing.inbox.size() == 100
    assert failed_operations.count_open(engine) == 50


async def test_a_request_that_was_cut_off_goes_on_with_the_jobs_it_had_chosen(
    api: Client, engine: GuardedEngine
) -> None:
    chosen = [fail(engine, number) for number in range(3)]
    order = admin_actions.AdminAction(
        "dead_letters.discard cut", "api:owner", "dead_letters.discard", "after=0", 1_700_000_000.0
    )
    admin_actions.record(engine, order, "done", after={"references": chosen, "next": None})
    later = fail(engine, 9)
    done = await api.post("/jobs/discard", {"matching": {}}, once="cut")
    assert done.body == {"done": 3, "refused": [], "next_cursor": None}
    assert [each.reference for each in failed_operations.open_matching(engine, Filters(), limit=9)] == [later]


async def test_references_are_resolved_one_by_one_and_what_is_refused_is_said(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    again, never = fail(engine, 1), fail(engine, 2)
    assert (await api.post("/jobs/discard", {"references": [never]})).body["done"] == 1
    done = await api.post("/jobs/retry", {"references": [again, never, "ABCDEFGH"]}, once="three")
    assert (done.status, done.body["done"], queueing.inbox.size()) == (200, 1, 1)
    assert [(each["reference"], each["why"].split(";")[0]) for each in done.body["refused"]] == [
        (never, f"{never} was discarded already"),
        ("ABCDEFGH", "there is no failed job 'ABCDEFGH'"),
    ]
    other = await api.post("/jobs/retry", {"references": [never]}, once="three")
    assert (other.status, other.kind) == (409, "idempotency-key-reused")


async def test_neither_nothing_nor_too_much_is_resolved(api: Client) -> None:
    bodies: list[dict[str, Any]] = [
        {},
        {"references": []},
        {"references": ["ABCDEFGH"], "matching": {}},
        {"references": ["ABCDEFGH"] * 101},
        {"references": ["ABCDEFGH"], "cursor": "1"},
        {"matching": {"sort": "x"}},
    ]
    for body in bodies:
        assert (await api.post("/jobs/retry", body)).kind == "invalid", body
    viewer = api.key_for("jobs:read")
    assert (await api.post("/jobs/retry", {"matching": {}}, key=viewer)).status == 403
