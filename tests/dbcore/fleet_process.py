"""A process of a fleet, for tests: an engine and its link, told by lines on stdin what to do, telling by lines on
stdout how it went.

    fail N   N calls that meet a server which is not there
    call     one call; prints ok, or the kind of the refusal
    state    prints the breaker's state and reason
"""

from __future__ import annotations

import sys
from contextlib import suppress

import redis

from dbcore.breaker.rules import BreakerLimits, BreakerReason, Interval
from dbcore.breaker.sync import BreakerSync
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import load_settings


def main(name: str, interval_seconds: float) -> None:
    settings = load_settings()
    interval = Interval(interval_seconds, interval_seconds)
    limits = BreakerLimits(intervals=dict.fromkeys(BreakerReason, interval))
    engine = GuardedEngine(settings, limits=limits)
    client = redis.Redis.from_url(settings.require("redis_url"), socket_timeout=1, socket_connect_timeout=1)
    link = BreakerSync(client, engine, name)
    link.start()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["call"]:
                try:
                    engine.fetch_row("SELECT 1", name="touch")
                except DatabaseAway as away:
                    print(away.kind.value, flush=True)
                else:
                    print("ok", flush=True)
            case ["fail", count]:
                for _ in range(int(count)):
                    with suppress(DatabaseAway):
                        engine.fetch_row("SELECT 1", name="touch")
                print("failed", flush=True)
            case ["state"]:
                snapshot = engine.breaker.snapshot()
                print(snapshot.state.value, snapshot.reason.value if snapshot.reason else "-", flush=True)
    link.stop()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
