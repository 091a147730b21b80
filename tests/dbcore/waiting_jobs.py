"""Jobs that wait for the end of an outage, as the inbox and the rescuer tell of them."""

from __future__ import annotations

import redis

from dbcore.breaker import outages


def note_waiting(client: redis.Redis, job_id: str, taken_at: float, *, is_on: bool) -> None:
    """One that is on record."""
    client.set(f"record of {job_id}", 1)
    job = outages.WaitingJob(job_id, f"record of {job_id}", taken_at)
    outages.note_waiting(client, [job], is_on=is_on)


def finish(client: redis.Redis, job_id: str, at: float) -> None:
    client.delete(f"record of {job_id}")
    client.eval(f"{outages.OUTAGES_LUA} finish_waiting_job(ARGV[1], tonumber(ARGV[2]))", 0, job_id, at)
