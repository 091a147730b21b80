"""Jobs on record, listed from Redis alone."""

from __future__ import annotations

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope, reference_of
from tests.bot_frontend.api.conftest import Client
from tests.harness.queueing import Queueing


def wait(queueing: Queueing, number: int, lane: str) -> str:
    """The reference of a job that waits."""
    job = Envelope.of(ShowBalance(telegram_id=1000 + number), job_id=f"job-{number}", lane=lane)
    queueing.inbox.accept(job)
    return reference_of(job.job_id)


async def test_waiting_jobs_come_in_pages_though_others_are_done_in_between(
    api: Client, queueing: Queueing
) -> None:
    # All in one millisecond, or in several.
    references = [wait(queueing, number, f"user:{number}") for number in range(9)]
    queueing.client.zadd("ballast:inbox:all", {f"job-{number}": 1_700_000_000_000 for number in range(2, 7)})
    seen: list[str] = []
    path = "/jobs/waiting?limit=2"
    while True:
        page = await api.get(path)
        assert page.status == 200, page.body
        seen += [job["reference"] for job in page.body["items"]]
        if page.body["next_cursor"] is None:
            break
        path = f"/jobs/waiting?limit=2&cursor={page.body['next_cursor']}"
    assert seen[:5] == references[2:7]
    assert sorted(seen) == sorted(references)


async def test_a_waiting_job_says_whose_it_is_and_what_it_waits_for(api: Client, queueing: Queueing) -> None:
    first, second = wait(queueing, 1, "user:1"), wait(queueing, 2, "user:1")
    one, other = (await api.get("/jobs/waiting")).body["items"]
    assert (one["reference"], one["state"], one["kind"]) == (first, "queued", "balances.show")
    assert one["waits_for"] == "a worker of queue balances" and one["age_seconds"] >= 0
    assert (other["reference"], other["state"]) == (second, "behind")
    assert first in other["waits_for"]
