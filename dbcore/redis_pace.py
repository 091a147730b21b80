"""How often the processes ask Redis while there is nothing to do: REDIS_MODE.

RESPONSIVE finds a dead process within two seconds. THRIFTY is for a Redis that is paid per command: everything is found
later, by as much as its intervals say. What a message sets in motion is as quick in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbcore.settings import Settings


@dataclass(frozen=True, slots=True)
class RedisPace:
    """Seconds between two questions of a process that has nothing to do.

    beat -- heartbeats of a worker process, of which every other one says how it is.
    owner_dead -- after so long without a heartbeat, others get its jobs.
    link -- exchanges with the fleet's breaker; silent -- after so long without one a process is gone.
    rescue -- looks of the rescuer; standby -- tries of the others to take over.
    near -- looks of rescuer and queue pauser while the breaker is open and people wait.
    pauser -- looks at the breaker before messages are taken.
    take -- how long a worker waits for a message before it asks again.
    look -- of the frontend at everything, while nobody looks at a page of it; glance -- at the breaker alone.
    alarms -- looks for what admins are told of.
    watch -- broadcasts that nobody works on.
    check -- pings of a connection that is silent; events -- of a worker to Flower.
    """

    beat: float
    owner_dead: float
    link: float
    silent: float
    rescue: float
    standby: float
    near: float
    pauser: float
    take: float
    look: float
    glance: float
    alarms: float
    watch: float
    check: int
    events: float


RESPONSIVE = RedisPace(
    beat=1.0,
    owner_dead=2.0,
    link=4.0,
    silent=10.0,
    rescue=1.0,
    standby=1.0,
    near=0.1,
    pauser=1.0,
    take=1.0,
    look=5.0,
    glance=0.5,
    alarms=3.0,
    watch=5.0,
    check=5,
    events=4.0,
)

THRIFTY = RedisPace(
    beat=25.0,
    owner_dead=60.0,
    link=60.0,
    silent=150.0,
    rescue=30.0,
    standby=30.0,
    near=2.0,
    pauser=30.0,
    take=15.0,
    look=45.0,
    glance=15.0,
    alarms=60.0,
    watch=60.0,
    check=60,
    events=60.0,
)


def pace_of(settings: Settings) -> RedisPace:
    return THRIFTY if settings.redis_mode == "thrifty" else RESPONSIVE
