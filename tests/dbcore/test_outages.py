"""The story of an outage: how many waited, when the last of them was done, and which part of the time had none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from dbcore.breaker import outage_history, outages, override
from dbcore.breaker.outage_history import Uptime
from dbcore.breaker.outages import Outage, WaitingJob
from dbcore.breaker.rules import BreakerLimits, BreakerReason, Interval
from dbcore.breaker.store import read_state
from dbcore.breaker.sync import BreakerSync
from dbcore.redis_client import redis_time
from tests.dbcore.conftest import MakeEngine, Sql, eventually
from tests.dbcore.waiting_jobs import finish, note_waiting

SHORT = BreakerLimits(intervals=dict.fromkeys(BreakerReason, Interval(0.2, 0.2)))
DAY = 86_400


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


def pause(client: redis.Redis, name: str) -> None:
    override.set_override(client, "open", name)


def resume(client: redis.Redis, name: str) -> None:
    override.set_override(client, "auto", name)


def all_of(client: redis.Redis) -> list[Outage]:
    return outages.read(client, *read_state(client))


def test_an_outage_is_drained_when_the_last_job_that_waited_for_its_end_is_finished(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql
) -> None:
    link = BreakerSync(client, make_engine(limits=SHORT), "well")

    def in_table() -> list[tuple[object, ...]]:
        link.step()
        client.delete("ballast:breaker:scribe")
        return sql(
            "SELECT jobs_waited, extract(epoch FROM drained_at)::float8 FROM outages ORDER BY began_at"
        )

    pause(client, "Nadia")
    taken_at = redis_time(client)
    for job_id in ("early", "late"):
        note_waiting(client, job_id, taken_at, is_on=True)
    finish(client, "early", taken_at)
    resume(client, "Nadia")
    (over,) = all_of(client)
    assert (over.jobs_waited, over.jobs_left, over.drained_at) == (2, 1, None)
    eventually(lambda: in_table() == [(2, None)])

    # Of a crowd that is found after the end, those belong to it that came before. Another pause changes nothing.
    note_waiting(client, "found later", taken_at, is_on=False)
    pause(client, "Otto")
    finish(client, "late", taken_at + 10)
    resume(client, "Otto")
    between, first = all_of(client)
    assert (between.jobs_waited, between.drained_at) == (0, between.ended_at)
    assert (first.jobs_waited, first.jobs_left, first.drained_at) == (3, 1, None)
    for seconds in (20, 30):  # a copy of its message
        finish(client, "found later", taken_at + seconds)
    _, first = all_of(client)
    assert (first.jobs_waited, first.jobs_left) == (3, None)
    assert first.drained_at == pytest.approx(taken_at + 20, abs=0.01)
    eventually(lambda: [row[0] for row in in_table() if row[1] is not None] == [3, 0])
    assert not client.exists("ballast:outages:draining", f"ballast:outage:jobs:{first.id}")


def test_a_job_that_was_finished_before_it_was_noted_does_not_keep_an_outage_from_draining(
    client: redis.Redis,
) -> None:
    pause(client, "Nadia")
    outages.note_waiting(client, [WaitingJob("gone", "no record", redis_time(client))], is_on=True)
    resume(client, "Nadia")
    (over,) = all_of(client)
    assert (over.jobs_waited, over.drained_at) == (1, over.ended_at)


def test_of_jobs_that_the_release_before_counted_nobody_says_when_they_were_finished(
    client: redis.Redis,
) -> None:
    pause(client, "Nadia")
    client.hset("ballast:outage:waiting", mapping={"jobs": 3, "oldest": redis_time(client)})
    resume(client, "Nadia")
    (over,) = all_of(client)
    assert (over.jobs_waited, over.drained_at, over.jobs_left) == (3, None, None)


def test_what_the_release_before_kept_is_read(client: redis.Redis) -> None:
    client.lpush(
        "ballast:outages",
        '{"id": "1.0", "began_at": 1.0, "ended_at": 2.0, "reason": "outage", "paused_by": null, "failed_probes": 3, '
        '"jobs_waited": 4, "longest_wait_seconds": 0.5}',
    )
    (over,) = all_of(client)
    assert (over.reason, over.failed_at, over.drained_at, over.jobs_left) == (
        BreakerReason.OUTAGE,
        None,
        None,
        None,
    )


def test_the_history_outlives_redis_and_is_read_without_the_database(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql
) -> None:
    engine = make_engine(limits=SHORT)
    link = BreakerSync(client, engine, "well")
    assert outage_history.read(client).uptimes == (), "nothing is known yet"
    began_at = redis_time(client)
    sql(
        "INSERT INTO users (telegram_id, first_name, created_at) "
        "VALUES (7, 'First', now() - '10 days'::interval) RETURNING 1"
    )
    sql(
        "INSERT INTO outages "
        "(outage_id, began_at, ended_at, reason, failed_probes, jobs_waited, longest_wait_seconds) "
        "VALUES ('old', now() - '48 hours'::interval, now() - '48 hours'::interval + '864 s'::interval, "
        "'outage', 3, 2, 800) RETURNING 1"
    )
    pause(client, "Nadia")
    resume(client, "Nadia")

    def is_written() -> bool:
        link.step()
        return bool(sql("SELECT 1 FROM outages WHERE paused_by = 'Nadia'"))

    eventually(is_written)
    client.delete("ballast:outages")
    outage_history.copy_table(client, engine)
    history = outage_history.read(client)
    paused, old = history.outages
    assert paused.drained_at == paused.ended_at
    assert (old.id, old.reason, old.drained_at, old.jobs_left) == ("old", BreakerReason.OUTAGE, None, None)
    day, week, month = history.uptimes
    assert (day.outages, day.share, day.down_seconds) == (0, 1.0, 0.0)
    assert week.share == pytest.approx(1 - 864 / (7 * DAY))
    assert month.measured_seconds == pytest.approx(10 * DAY, abs=1 + redis_time(client) - began_at)
    assert (month.outages, round(month.down_seconds)) == (1, 864)


def test_an_outage_counts_for_the_part_of_it_that_is_within_the_time() -> None:
    def outage(began_at: float, ended_at: float | None, reason: BreakerReason | None) -> Outage:
        return Outage(f"{began_at}", began_at, ended_at, reason, None)

    now = 1_000_000.0
    begin = now - DAY
    seen = [
        outage(now - 60, None, BreakerReason.QUOTA),
        outage(now - 500, now - 400, None),
        outage(begin - 100, begin + 40, BreakerReason.OUTAGE),
        outage(begin - 300, begin - 200, BreakerReason.OUTAGE),
    ]
    assert outage_history.uptime(seen, now, 0.0, 24) == Uptime(24, DAY, 1 - 100 / DAY, 100.0, 100.0, 2)
    assert outage_history.uptime([], now, now - 10, 24) == Uptime(24, 10.0, 1.0, 0.0, 0.0, 0)
    assert outage_history.uptime([], now, None, 24) is None
