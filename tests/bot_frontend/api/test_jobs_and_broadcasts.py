"""Failed jobs and broadcasts over the API."""

from __future__ import annotations

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope, reference_of
from dbcore import admin_actions, failed_operations
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from tests.bot_frontend.api.conftest import Client
from tests.harness.queueing import Queueing


def fail(engine: GuardedEngine, number: int) -> str:
    """A failed job's reference."""
    envelope = Envelope.of(
        ShowBalance(telegram_id=1000 + number), job_id=f"job-{number}", lane=f"user:{number}"
    )
    reference = reference_of(envelope.job_id)
    failed_operations.record(
        engine,
        job_id=envelope.job_id,
        kind=envelope.kind,
        reference=reference,
        telegram_id=1000 + number,
        error="boom",
        payload=envelope.model_dump(mode="json"),
    )
    return reference


def draft(engine: GuardedEngine, key: str, text: str = "<b>Hello</b> all") -> int:
    return broadcasts.create(engine, key=key, payload={"text": text}, segment={}, actor="a test").id


async def test_failed_jobs_come_in_pages_that_neither_repeat_nor_skip(
    api: Client, engine: GuardedEngine
) -> None:
    references = [fail(engine, number) for number in range(5)]
    seen: list[str] = []
    path = "/jobs?state=failed&limit=2"
    while True:
        page = await api.get(path)
        assert page.status == 200, page.body
        seen += [job["reference"] for job in page.body["items"]]
        if page.body["next_cursor"] is None:
            break
        path = f"/jobs?state=failed&limit=2&cursor={page.body['next_cursor']}"
    assert seen == references[::-1]
    one = await api.get("/jobs?telegram_id=1003")
    assert [job["reference"] for job in one.body["items"]] == [references[3]]
    assert (await api.get("/jobs?cursor=-1")).kind == "invalid"


async def test_a_retried_job_is_queued_once_and_a_discarded_one_never(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    again, never = fail(engine, 1), fail(engine, 2)
    for replayed in (False, True):
        done = await api.post(f"/jobs/{again}/retry", {"reason": "mended"}, once="retry-1")
        assert (done.status, done.body["state"]) == (200, "retried"), done.body
        assert (done.headers.get("idempotency-replayed") == "true") is replayed
    assert queueing.inbox.size() == 1
    assert (await api.post(f"/jobs/{never}/discard")).body["state"] == "discarded"
    assert (await api.post(f"/jobs/{never}/retry")).kind == "conflict"
    other = await api.post(f"/jobs/{never}/retry", once="retry-1")
    assert (other.status, other.kind) == (409, "idempotency-key-reused")
    assert queueing.inbox.size() == 1
    (retried,) = [each for each in admin_actions.recent(engine, 10) if each.target == again]
    assert (retried.reason, retried.before, retried.after) == (
        "mended",
        {"status": "open"},
        {"status": "retried"},
    )
    booked = [(each.actor, each.action, each.target) for each in admin_actions.recent(engine, 10)]
    assert sorted(booked) == [
        ("api:owner", "dead_letter.discard", never),
        ("api:owner", "dead_letter.retry", again),
    ]


async def test_a_broadcast_is_started_paused_resumed_and_cancelled(
    api: Client, engine: GuardedEngine, queueing: Queueing
) -> None:
    users.get_or_create(engine, profile=users.Profile(7, None, "Ann"))
    number = draft(engine, "b1")
    shown = await api.get(f"/broadcasts/{number}")
    assert (shown.body["status"], shown.body["text"]) == ("draft", "Hello all")
    for action, status in (
        ("start", "sending"),
        ("pause", "paused"),
        ("resume", "sending"),
        ("cancel", "cancelled"),
    ):
        for replayed in (None, "true"):
            done = await api.post(f"/broadcasts/{number}/{action}", once=f"{action}-1")
            assert (done.status, done.body.get("status")) == (200, status), done.body
            assert done.headers.get("idempotency-replayed") == replayed
    assert (await api.post(f"/broadcasts/{number}/resume")).kind == "conflict"
    actions = [each.action for each in reversed(admin_actions.recent(engine, 10))]
    assert actions == ["broadcast.start", "broadcast.pause", "broadcast.resume", "broadcast.cancel"]


async def test_a_paid_broadcast_without_a_limit_is_not_started(api: Client, engine: GuardedEngine) -> None:
    number = broadcasts.create(
        engine, key="paid", payload={"text": "x"}, segment={}, actor="a test", paid=True
    ).id
    assert (await api.post(f"/broadcasts/{number}/start")).kind == "conflict"
    assert broadcasts.require(engine, number).status is BroadcastStatus.DRAFT


async def test_what_is_not_there_is_not_found(api: Client) -> None:
    for method, path in (
        ("GET", "/broadcasts/5"),
        ("POST", "/broadcasts/5/pause"),
        ("GET", "/jobs/ABCDEFGH"),
        ("POST", "/jobs/ABCDEFGH/retry"),
        ("GET", "/nothing"),
    ):
        assert (await api.ask(method, path)).kind == "not-found", path
    assert (await api.ask("DELETE", "/jobs/ABCDEFGH")).kind == "method-not-allowed"
