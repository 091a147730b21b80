"""One scrape of the frontend shows what the whole fleet does."""

from __future__ import annotations

import asyncio
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, register, say

OLD_FAILED_JOB = """
INSERT INTO failed_operations (job_id, kind, reference, error, payload, status, resolved_at)
VALUES ('old', 'k', 'r', 'e', '{}', 'discarded', now() - interval '8 days')
"""


def scraped(stack: Stack) -> dict[str, float]:
    """Sums over the labels, by the sample's name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ops_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def test_one_scrape_shows_the_work_of_all_processes(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(HEALTH_PROBE_SECONDS="1", DB_CONNECTION_BUDGET="20", FAILED_JOBS_KEEP_DAYS="7")
    stack.query(OLD_FAILED_JOB)
    stack.start("frontend", "main", "light", "beat")
    stack.wait_ready(processes=3)
    (alice,) = await register(telegram, "Alice")
    for _ in range(3):
        await say(telegram, alice, "/balance")
    await all_settled(stack, telegram)

    seen: dict[str, float] = {}
    # Redis counts the jobs; each process reports the rest with its next heartbeats. A connection may be closed
    # between two jobs.
    least = {
        "ballast_jobs_done_total": 4,
        "ballast_database_calls_total": 4,
        "ballast_telegram_requests_total": 4,
        "ballast_probe_latency_seconds": 0,
        "db_client_connection_count": 1,
        "ballast_rows_pruned_total": 1,
        "ballast_oldest_row_age_seconds": 0,
    }

    def shown() -> bool:
        seen.clear()
        seen.update(scraped(stack))
        return all(name in seen and seen[name] >= figure for name, figure in least.items())

    await asyncio.to_thread(stack.wait_until, shown, "the probe, the jobs and a connection are shown")
    assert seen["ballast_worker_processes"] == 3
    assert seen["ballast_breaker_state"] == 1
    assert seen["ballast_telegram_intake_up"] == 1
    assert seen["db_client_connection_count"] <= seen["db_client_connection_max"] <= 20
    assert seen["ballast_database_connection_budget"] == 20
    assert seen["ballast_dead_letters_open"] == 0
    assert seen["ballast_probe_success"] == 1
    assert seen["ballast_job_duration_seconds_count"] == seen["ballast_jobs_done_total"]

    def all_told() -> bool:
        engines = stack.get("/db-stability")[1]["engines"].values()
        told = sum(engine["calls_total"] for engine in engines)
        return bool(scraped(stack)["ballast_database_calls_total"] == told)

    stack.stop("beat")
    await asyncio.to_thread(stack.wait_until, all_told, "each call is counted, and once")

    calls = scraped(stack)["ballast_database_calls_total"]
    stack.kill("main")
    stack.start("main")
    stack.wait_ready(processes=3)
    assert scraped(stack)["ballast_database_calls_total"] >= calls, "a counter outlives its process"
