"""Jobs of a stack that tests put on record themselves, watch in hand, and hurry on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ballast.jobs import Job
from ballast.queueing.envelope import Envelope
from devstack.stack import Stack
from tests.harness.queueing import queueing_at

FAILED = "Sorry, something went wrong on our side."
"""How what somebody is told begins when their job is given up."""


def in_lane_of(person: int, job: Job, job_id: str) -> Envelope:
    return Envelope.of(job, job_id=job_id, lane=f"user:{person}", chat_id=person)


def accept(stack: Stack, *envelopes: Envelope) -> None:
    """Take jobs on record as a frontend does."""
    with queueing_at(stack.env["REDIS_URL"]) as queueing:
        for envelope in envelopes:
            dispatch = queueing.inbox.accept(envelope).dispatch
            if dispatch is not None:
                queueing.publisher.publish(dispatch)


def held(stack: Stack) -> bool:
    """Whether some process is at work on a job."""
    return any(stack.redis.hexists(key, "owner") for key in stack.redis.keys("ballast:inbox:job:*"))


async def hurried(stack: Stack, done: Callable[[], bool], what: str) -> None:
    """Until it is done, with the waits between the tries of a job made short."""

    def look() -> bool:
        for waiting in stack.redis.zrange("ballast:inbox:due", 0, -1):
            stack.redis.zadd("ballast:inbox:due", {bytes(waiting): 0}, xx=True)  # type: ignore[arg-type]  # not decoded
        return done()

    await asyncio.to_thread(stack.wait_until, look, what)
