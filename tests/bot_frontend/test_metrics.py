"""`/metrics`, scraped over HTTP as Prometheus does, of a frontend with a real Redis."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

import ballast
from ballast.broadcasts.schedule import WAKES_STUCK, Schedule
from ballast.builtin.balances import ShowBalance
from ballast.inbox import Inbox
from ballast.queueing.envelope import Envelope
from ballast.status import counters
from bot_frontend.web.metric_definitions import METRICS
from bot_frontend.web.metrics import exposition
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.settings import Settings
from devstack.stack import ROOT, TOKEN
from tests.bot_frontend.test_web import serving
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing

ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<kind>\w+) \| (?P<labels>[^|]*) \| (?P<meaning>.+) \|")
OWNER = "host:1:aa"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def settings(make_settings: MakeSettings, redis_url: str) -> Settings:
    return make_settings(redis_url=redis_url, telegram_bot_token=TOKEN)


def read(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


def names(text: str) -> set[str]:
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}


async def scrape(settings: Settings, queueing: Queueing) -> str:
    async with (
        serving(settings, queueing) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.text()


def carried_out(inbox: Inbox, job_id: str) -> None:
    lane = "user:8"
    inbox.accept(Envelope.of(ShowBalance(telegram_id=8), job_id=job_id, lane=lane))
    assert inbox.claim(job_id, OWNER) is not None
    inbox.finish(job_id)


def test_the_table_in_the_docs_is_the_table_in_the_code() -> None:
    page = (ROOT / Path("docs/metrics.md")).read_text()
    documented = {
        row["name"]: (row["kind"], tuple(re.findall(r"`(\w+)`", row["labels"])), row["meaning"])
        for row in ROW.finditer(page)
    }
    there = {figure.name: (figure.kind.value, figure.labels, figure.meaning) for figure in METRICS}
    assert documented == there
    assert len(there) == len(METRICS)


async def test_a_scrape_has_every_metric_of_the_table_and_no_other(
    settings: Settings, queueing: Queueing
) -> None:
    assert names(await scrape(settings, queueing)) == {figure.name for figure in METRICS}


async def test_a_scrape_needs_the_token_where_one_is_set(
    make_settings: MakeSettings, redis_url: str, queueing: Queueing
) -> None:
    settings = make_settings(redis_url=redis_url, telegram_bot_token=TOKEN, ops_token="t0ken-t0ken-t0ken")
    async with serving(settings, queueing) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/metrics") as answer:
            assert answer.status == 401
        async with http.get(
            f"{url}/metrics", headers={"Authorization": "Bearer t0ken-t0ken-t0ken"}
        ) as answer:
            assert answer.status == 200


async def test_jobs_are_counted_as_they_are_taken_and_finished(
    settings: Settings, queueing: Queueing
) -> None:
    inbox = queueing.inbox
    carried_out(inbox, "a")
    carried_out(inbox, "b")
    inbox.accept(Envelope.of(ShowBalance(telegram_id=9), job_id="c", lane="user:9"))
    inbox.accept(Envelope.of(ShowBalance(telegram_id=9), job_id="c", lane="user:9"))  # known: no job
    inbox.accept(Envelope.of(ShowBalance(telegram_id=7), job_id="d", lane="user:7"), size_max=0)
    seen = read(await scrape(settings, queueing))
    assert value(seen, "ballast_jobs_accepted_total", kind="balances.show") == 3
    assert value(seen, "ballast_jobs_done_total", kind="balances.show") == 2
    assert value(seen, "ballast_jobs_refused_total", reason="crowded") == 1
    assert value(seen, "ballast_inbox_jobs") == 1
    assert value(seen, "ballast_inbox_oldest_job_age_seconds") >= 0
    of = {"messaging_destination_name": "balances"}
    assert value(seen, "ballast_job_duration_seconds_count", **of) == 2
    assert value(seen, "ballast_job_duration_seconds_bucket", le="+Inf", **of) == 2
    assert value(seen, "ballast_job_duration_seconds_sum", **of) >= 0
    assert value(seen, "messaging_client_sent_messages_total", **of) == 3


def buckets(seen: Series) -> Iterator[float]:
    for (name, labels), count in seen.items():
        if (
            name == "ballast_job_duration_seconds_bucket"
            and ("messaging_destination_name", "balances") in labels
        ):
            yield count


async def test_a_histograms_buckets_never_fall(settings: Settings, queueing: Queueing) -> None:
    for bound in (*counters.ANSWER_MS, "inf"):
        queueing.client.hset(counters.KEY, counters.name_of("answers", "balances", str(bound)), 2)
    counts = list(buckets(read(await scrape(settings, queueing))))
    assert counts == [2.0 * number for number in range(1, len(counters.ANSWER_MS) + 2)]


async def test_a_count_told_twice_counts_once_and_survives_its_process(
    settings: Settings, queueing: Queueing
) -> None:
    told = {"dead_letters": 2, "failures|outage": 3, "telegram|sendMessage|200": 5}
    for counts in (told, told, {"dead_letters": 3}):
        queueing.inbox.beat(OWNER, {"queues": [], "database": ENGINE}, counts)
    queueing.inbox.beat("host:2:bb", {"queues": [], "database": ENGINE}, told)
    queueing.inbox.leave(OWNER)
    seen = read(await scrape(settings, queueing))
    assert value(seen, "ballast_dead_letters_total") == 5
    assert value(seen, "ballast_database_failures_total", kind="outage") == 6
    assert value(seen, "ballast_telegram_requests_total", method="sendMessage", outcome="200") == 10
    assert value(seen, "ballast_worker_processes") == 1


async def test_labels_come_from_fixed_sets_whatever_redis_holds(
    settings: Settings, queueing: Queueing
) -> None:
    for number in range(50):
        queueing.client.hincrby(counters.KEY, f"jobs_done|forged{number}", 1)
        queueing.client.hincrby(counters.KEY, f"telegram|m{number}|{number}", 1)
        queueing.client.hincrby(counters.KEY, f"unheard_of|{number}", 1)
    text = await scrape(settings, queueing)
    seen = read(text)
    assert value(seen, "ballast_jobs_done_total", kind="_OTHER") == 50
    assert value(seen, "ballast_telegram_requests_total", method="_OTHER", outcome="_OTHER") == 50
    assert "forged" not in text
    assert names(text) == {figure.name for figure in METRICS}


async def test_a_broadcast_that_is_woken_again_and_again_and_does_not_go_on_is_stuck(
    settings: Settings, queueing: Queueing
) -> None:
    schedule = Schedule(queueing.client)
    for broadcast_id in (1, 2):
        for _ in range(WAKES_STUCK):
            schedule.after(broadcast_id, -1)
            schedule.take_due(30)
    schedule.went_on(2, 30)
    seen = read(await scrape(settings, queueing))
    assert value(seen, "ballast_broadcasts_under_way") == 2
    assert value(seen, "ballast_broadcasts_stuck") == 1
    schedule.remove(1)
    assert schedule.stuck() == []


async def test_a_scrape_answers_at_once_while_redis_hangs_and_leaves_out_what_is_not_known(
    make_settings: MakeSettings, silent_redis: Queueing
) -> None:
    settings = make_settings(redis_url=silent_redis.redis_url, telegram_bot_token=TOKEN)
    async with serving(settings, silent_redis) as url, aiohttp.ClientSession() as http:
        seconds = []
        for _ in range(5):
            before = time.perf_counter()
            async with http.get(f"{url}/metrics") as answer:
                text = await answer.text()
            seconds.append(time.perf_counter() - before)
        # The client gives a silent Redis a second; each answer that waited for it would take at least that long.
        assert min(seconds) < 1.0
    assert read(text) == {
        ("ballast_build_info", frozenset({("version", ballast.__version__)})): 1.0,
        ("ballast_redis_up", frozenset()): 0.0,
    }


def test_the_age_grows_while_nothing_new_is_seen() -> None:
    look = StatusSnapshot(looked_at=100.0, redis_ok=False, seen_at=100.0)
    ages = [value(read(exposition(look, now).decode()), "ballast_look_age_seconds") for now in (101.0, 160.0)]
    assert ages == [1.0, 60.0]


ENGINE = {
    "state": "closed",
    "pool_in_use": 1,
    "pool_idle": 1,
    "failed_operations": 0,
}
