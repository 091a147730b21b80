from __future__ import annotations

from bot_frontend.web.throughput import MEASURED_SECONDS, MEASURED_SECONDS_MIN, Throughput, ThroughputMeter


def totals(commands: int, **answers: int) -> dict[str, int]:
    buckets = {f"answers|balances|{bound.removeprefix('to')}": count for bound, count in answers.items()}
    return {"jobs_accepted|balances.show": commands, "jobs_accepted|users.quarantine": 99, **buckets}


def test_nothing_is_said_before_there_is_something_to_measure_over() -> None:
    minute = ThroughputMeter()
    assert minute.see(totals(0), 100.0) is None
    assert minute.see(totals(50), 100.0 + MEASURED_SECONDS_MIN - 0.1) is None
    assert minute.see(totals(50), 100.0 + MEASURED_SECONDS_MIN) is not None


def test_it_is_of_the_last_minute_alone() -> None:
    minute = ThroughputMeter()
    minute.see(totals(0), 0.0)
    for second in range(0, 121, 2):
        seen = minute.see(totals(min(second, 60)), float(second))
    assert seen is not None
    assert seen.commands_per_minute == 0.0
    minute = ThroughputMeter()
    for second in range(0, 121, 2):
        seen = minute.see(totals(3 * second), float(second))
    assert seen == Throughput(180.0, 0.0, None, None)
    assert MEASURED_SECONDS == 60.0


def test_the_times_lie_within_their_buckets() -> None:
    minute = ThroughputMeter()
    minute.see(totals(0, to50=1000), 0.0)
    seen = minute.see(totals(100, to50=1000, to100=90, to250=8, toinf=2), 60.0)
    assert seen is not None
    assert seen.answers_per_minute == 100.0
    assert seen.answer_p50_seconds is not None
    assert seen.answer_p95_seconds is not None
    assert 0.05 < seen.answer_p50_seconds <= 0.1 < seen.answer_p95_seconds <= 0.25


def test_a_redis_that_began_anew_is_no_negative_rate() -> None:
    minute = ThroughputMeter()
    minute.see(totals(1000), 0.0)
    assert minute.see(totals(3), 30.0) is None
    assert minute.see(totals(6), 60.0) == Throughput(6.0, 0.0, None, None)
