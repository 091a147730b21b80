from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PATCHED = """
    from gevent import monkey
    monkey.patch_all()
    import json, socket, sys, time
    if sys.argv[2] == "psycogreen":
        from psycogreen.gevent import patch_psycopg
        patch_psycopg()
    import gevent
    from sqlalchemy import create_engine, text
    from dbcore.breaker.local import Breaker
    from dbcore.errors import Unavailable
    from dbcore.guard.attached import attach_engine
    from devstack.proxy import frozen

    def attached(url):
        engine = create_engine(url)
        attach_engine(engine, breaker=Breaker(clock=time.monotonic), statement_seconds=0.5, connect_seconds=0.5)
        return engine

    def outcome(ask):
        try:
            return ask()
        except Unavailable as error:
            return error.kind

    def sleeps(seconds):
        with engine.connect() as connection:
            return outcome(lambda: connection.scalar(text(f"SELECT pg_sleep({seconds})")))

    def frozen_backend():
        with engine.connect() as connection, frozen(connection.scalar(text("SELECT pg_backend_pid()"))):
            return outcome(lambda: connection.scalar(text("SELECT 1")))

    def beat():
        while True:
            beats.append(time.monotonic())
            gevent.sleep(0.01)

    engine, beats = attached(sys.argv[1]), []
    gevent.spawn(beat)
    seen = {"frozen": frozen_backend(), "late": gevent.spawn(sleeps, 60).get(), "well": gevent.spawn(sleeps, 0).get()}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nobody = attached(f"postgresql+psycopg2://x@127.0.0.1:{silent.getsockname()[1]}/x")
        beats.clear()
        seen["connect"] = outcome(nobody.connect)
        seen["beats while it connects"] = len(beats)
    beats.clear()
    gevent.joinall([gevent.spawn(sleeps, 0.3) for _ in range(4)])
    seen["beats while four wait"] = len(beats)
    print(json.dumps(seen))
"""

TOO_LATE = """
    import dbcore.guard.deadline
    from gevent import monkey
    monkey.patch_all()
    from sqlalchemy import create_engine
    from dbcore.guard.attached import attach_engine
    attach_engine(create_engine("postgresql+psycopg2://"), breaker=None)
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize("driver", ["psycogreen", "blocking"])
def test_deadlines_hold_in_a_process_of_greenlets(database_url: str, driver: str) -> None:
    ran = run(PATCHED, database_url.replace("postgresql:", "postgresql+psycopg2:"), driver)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert (seen["frozen"], seen["late"], seen["well"], seen["connect"]) == ("slow", "slow", "", "outage")
    assert seen["beats while it connects"] > 10  # a connect holds up nobody, whoever waits for libpq
    if driver == "psycogreen":
        assert seen["beats while four wait"] > 5


def test_gevent_that_comes_after_the_guard_is_refused() -> None:
    ran = run(TOO_LATE)
    assert "UsageError: call gevent.monkey.patch_all() before dbcore is imported" in ran.stderr
