"""The fleet's breaker between real processes, a real Redis and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg2
import pytest
import redis
from structlog.testing import capture_logs

from ballast.cli import breaker_text
from dbcore.breaker import (
    CachedStateReader,
    FleetStore,
    StateUnreadable,
    events,
    outages,
    override,
    read_breaker,
)
from dbcore.breaker.connection_budget import read_connections, wanted_by, within_budget
from dbcore.breaker.local import Call, Permit
from dbcore.breaker.rules import BreakerLimits, BreakerReason, BreakerState, Interval
from dbcore.breaker.state import LEASE_SECONDS, FleetState
from dbcore.breaker.store import Event, read_state
from dbcore.breaker.sync import BreakerSync
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from dbcore.redis_client import redis_time
from devstack.ports import free_port
from devstack.postgres import EmbeddedPostgres
from devstack.redis import EmbeddedRedis
from tests.conftest import MakeSettings
from tests.dbcore.conftest import MakeEngine, Sql, eventually
from tests.dbcore.test_breaker import Clock
from tests.dbcore.waiting_jobs import note_waiting

ROOT = Path(__file__).parents[2]
SHORT = BreakerLimits(intervals=dict.fromkeys(BreakerReason, Interval(0.2, 0.2)))
LONG = BreakerLimits(intervals=dict.fromkeys(BreakerReason, Interval(600.0, 600.0)))
BREAKING = FailureKind.OUTAGE


class Member:
    """A process of the fleet."""

    def __init__(self, name: str, *, database_url: str, redis_url: str, interval_seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dbcore.fleet_process", name, str(interval_seconds)],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def hear(self) -> str:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline().strip()
            if not line.startswith(("{", "2")):  # structlog's own lines
                return line

    def tell(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.hear()

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


MakeMember = Callable[..., Member]


@pytest.fixture
def make_member(database_url: str, redis_url: str) -> Iterator[MakeMember]:
    made: list[Member] = []

    def make(name: str, *, url: str = database_url, interval_seconds: float = 0.3) -> Member:
        member = Member(name, database_url=url, redis_url=redis_url, interval_seconds=interval_seconds)
        made.append(member)
        assert member.hear() == "ready"
        return member

    yield make
    for member in made:
        member.kill()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def nowhere() -> str:
    return f"postgresql://ballast@127.0.0.1:{free_port()}/ballast"


def state_of(client: redis.Redis) -> BreakerState:
    return read_breaker(client).state


def is_in(member: Member, state: str) -> bool:
    return member.tell("state") == state


def fail(engine: GuardedEngine, times: int = 5) -> None:
    for _ in range(times):
        with suppress(DatabaseAway):
            engine.fetch_row("SELECT 1", name="touch")


def test_one_process_failures_open_it_for_the_other(
    make_member: MakeMember, client: redis.Redis, victim: EmbeddedPostgres
) -> None:
    unlucky = make_member("unlucky", url=victim.url, interval_seconds=600)
    other = make_member("other", url=victim.url, interval_seconds=600)
    assert other.tell("call") == "ok"
    eventually(lambda: client.hlen("ballast:breaker:windows") == 2)
    victim.kill()
    assert unlucky.tell("fail 20") == "failed"
    eventually(lambda: other.tell("state") == "open outage")
    assert other.tell("call") == "outage"


def test_it_closes_for_all_without_any_call_of_theirs(
    make_member: MakeMember, client: redis.Redis, victim: EmbeddedPostgres
) -> None:
    members = [make_member(name, url=victim.url) for name in ("a", "b")]
    victim.kill()
    members[0].tell("fail 20")
    for member in members:
        eventually(partial(is_in, member, "open outage"))
    victim.start()
    for member in members:
        eventually(partial(is_in, member, "closed -"))
        assert member.tell("call") == "ok"


def test_a_killed_prober_does_not_hold_it_half_open(
    make_member: MakeMember, make_engine: MakeEngine, client: redis.Redis
) -> None:
    """Both places are held by processes that will never answer."""
    store = FleetStore(client)
    limits = BreakerLimits()

    def half_open(state: FleetState, now: float) -> FleetState:
        opened = FleetState(
            version=state.version,
            epoch=state.epoch + 1,
            state=BreakerState.OPEN,
            reason=BreakerReason.OUTAGE,
            since=now,
            until=now,
        )
        return opened.with_lease("gone", "killed", now=now, limits=limits)

    store.change(half_open, "test")
    store.change(lambda state, now: state.with_lease("gone too", "frozen", now=now, limits=limits), "test")
    before = read_breaker(client)
    assert before.state is BreakerState.HALF_OPEN
    assert sorted(before.probers) == ["frozen", "killed"]
    living = make_member("living")
    eventually(lambda: living.tell("state").startswith("closed"))
    eventually(lambda: state_of(client) is BreakerState.CLOSED)
    assert read_breaker(client).since - before.since >= LEASE_SECONDS * 0.9


def test_a_prober_that_is_killed_while_it_probes_is_replaced(
    make_member: MakeMember, client: redis.Redis, victim: EmbeddedPostgres
) -> None:
    first = make_member("first", url=victim.url)
    victim.kill()
    first.tell("fail 20")
    eventually(lambda: state_of(client) is not BreakerState.CLOSED)
    first.send_signal(signal.SIGSTOP)  # with a lease or between two
    second = make_member("second", url=victim.url)
    first.kill()
    victim.start()
    eventually(partial(is_in, second, "closed -"))  # it was written down in Redis a moment before
    assert second.tell("call") == "ok"


def test_failures_too_few_for_one_process_open_it_together(
    make_engine: MakeEngine, client: redis.Redis, nowhere: str
) -> None:
    """Without retries: two failed attempts in each of three processes."""
    links = []
    for name in ("a", "b", "c"):
        engine = make_engine(nowhere, limits=LONG)
        links.append((engine, BreakerSync(client, engine, name)))
        while engine.retries.try_acquire(BREAKING):
            pass
        fail(engine, 2)
        assert engine.breaker.snapshot().state is BreakerState.CLOSED
    for _, link in links:
        link.step()
    assert state_of(client) is BreakerState.OPEN
    for engine, link in links:
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.OPEN


def test_one_process_in_trouble_among_many_stays_out_alone_until_an_operators_word(
    make_engine: MakeEngine, client: redis.Redis, nowhere: str
) -> None:
    well = [make_engine(limits=LONG) for _ in range(3)]
    for number, engine in enumerate(well):
        for _ in range(20):
            engine.fetch_row("SELECT 1", name="touch")
        BreakerSync(client, engine, f"well{number}").step()
    ill = make_engine(nowhere, limits=LONG)
    link = BreakerSync(client, ill, "ill")
    fail(ill)
    link.step()
    assert state_of(client) is BreakerState.CLOSED
    assert ill.breaker.snapshot().state is BreakerState.OPEN
    override.set_override(client, "auto", "test")
    link.step()
    assert ill.breaker.snapshot().state is BreakerState.CLOSED
    link.step()  # the calls of before were forgotten with it
    assert state_of(client) is BreakerState.CLOSED


def test_of_a_killed_process_nothing_is_left_though_all_go_well(
    make_engine: MakeEngine, client: redis.Redis
) -> None:
    """Each restart has a new name, and nobody looks at the others' calls while none of their own fails."""
    gone = BreakerSync(client, make_engine(), "gone")
    gone.step()
    silent = f"1 0 {time.time() - 60:.3f}"
    client.hset("ballast:connections", "gone", silent)
    BreakerSync(client, make_engine(), "here").step()
    for key in ("ballast:breaker:windows", "ballast:connections"):
        assert client.hkeys(key) == [b"here"]


def test_calls_that_hang_since_before_it_closed_do_not_open_it_again(
    make_engine: MakeEngine, client: redis.Redis
) -> None:
    """A network split is over, and what was sent into it still waits for its deadline."""
    clock = Clock()
    engine = make_engine(clock=clock, settings={"db_deadline_seconds": 60})
    link = BreakerSync(client, engine, "p1")
    link.step()

    with ThreadPoolExecutor(4) as threads:
        release = threading.Event()

        def hang(count: int) -> None:
            held = threading.Barrier(count + 1)

            def wait(_connection: object) -> None:
                held.wait(30)
                release.wait(60)

            for _ in range(count):
                threads.submit(engine.call, wait, name="hang")
            held.wait(30)

        try:
            hang(2)
            clock.now += 3
            link.step()
            assert state_of(client) is BreakerState.OPEN
            FleetStore(client).change(
                lambda state, now: state.overridden(BreakerState.CLOSED, now=now), "test"
            )
            link.step()
            clock.now += 3
            link.step()
            assert state_of(client) is BreakerState.CLOSED
            hang(2)  # in this epoch
            clock.now += 3
            link.step()
            assert state_of(client) is BreakerState.OPEN
        finally:
            release.set()


def test_without_redis_each_goes_by_its_own_calls_and_right_after_by_the_fleets(
    make_engine: MakeEngine, tmp_path: Path, victim: EmbeddedPostgres
) -> None:
    server = EmbeddedRedis(tmp_path / "redis", free_port())
    server.start()
    client = redis.Redis.from_url(server.url, socket_timeout=1, retry=None)
    engine = make_engine(victim.url, limits=SHORT)
    link = BreakerSync(client, engine, "a")
    try:
        FleetStore(client).change(
            lambda state, now: state.overridden(BreakerState.FORCED_OPEN, now=now), "test"
        )
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.FORCED_OPEN
        server.stop()
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.FORCED_OPEN  # an operator's word stands
        server.start()
        FleetStore(client).change(lambda state, now: state.overridden(BreakerState.CLOSED, now=now), "test")
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.CLOSED

        server.kill()
        victim.kill()
        fail(engine, 10)
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.OPEN  # by its own calls alone
        victim.start()

        def answers() -> bool:
            try:
                engine.fetch_row("SELECT 1", name="touch")
            except DatabaseAway:
                return False
            return engine.breaker.snapshot().state is BreakerState.CLOSED

        eventually(answers)
        server.start()
        FleetStore(client).change(
            lambda state, now: state.overridden(BreakerState.FORCED_OPEN, now=now), "test"
        )
        link.step()
        assert engine.breaker.snapshot().state is BreakerState.FORCED_OPEN
    finally:
        server.stop()
        client.close()


def test_redis_going_away_while_the_fleet_is_open_leaves_nobody_shut_out(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    server = EmbeddedRedis(tmp_path / "redis", free_port())
    server.start()
    client = redis.Redis.from_url(server.url, socket_timeout=1, retry=None)
    engine = make_engine(limits=LONG)
    link = BreakerSync(client, engine, "a")

    def opened(state: FleetState, now: float) -> FleetState:
        return FleetState(
            version=state.version,
            epoch=1,
            state=BreakerState.OPEN,
            reason=BreakerReason.OUTAGE,
            since=now,
            until=now + 0.5,
        )

    FleetStore(client).change(opened, "test")
    link.step()
    assert engine.breaker.snapshot().state is BreakerState.OPEN
    server.kill()
    link.step()

    def answers() -> bool:
        with suppress(DatabaseAway):
            engine.fetch_row("SELECT 1", name="touch")
        return engine.breaker.snapshot().state is BreakerState.CLOSED

    eventually(answers)
    client.close()


def test_no_call_to_the_database_asks_redis(
    make_engine: MakeEngine, client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    engine = make_engine(limits=LONG)
    link = BreakerSync(client, engine, "a")
    link.step()

    def commands() -> int:
        return int(client.info("stats")["total_commands_processed"])

    idle = -(commands() - commands())  # what asking costs, and whoever else is on this server
    for closed in (True, False):
        if not closed:
            FleetStore(client).change(
                lambda state, now: state.overridden(BreakerState.FORCED_OPEN, now=now), "test"
            )
            link.step()
        before = commands()
        fail(engine, 500)
        assert commands() - before < 50 + idle


def test_the_database_back_its_transitions_are_in_the_table_once(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql, nowhere: str
) -> None:
    ill = make_engine(nowhere, limits=SHORT)
    fail(ill)
    ill_link = BreakerSync(client, ill, "ill")
    ill_link.step()
    assert state_of(client) is BreakerState.OPEN
    well_links = [BreakerSync(client, make_engine(limits=SHORT), name) for name in ("well", "well too")]

    def written() -> list[tuple[object, ...]]:
        for link in well_links:
            link.step()
        if client.llen("ballast:breaker:events"):
            return []
        return sql("SELECT before, after, reason, by_whom FROM breaker_events ORDER BY created_at, id")

    rows = eventually(written)
    assert rows[0] == ("closed", "open", "outage", "ill")
    assert (rows[-1][0], rows[-1][1]) == ("half_open", "closed")
    assert len(rows) == sum(FleetStore(client).counts().values())


def test_an_outage_is_one_row_however_often_a_probe_failed_and_is_written_once(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql, nowhere: str
) -> None:
    ill = make_engine(nowhere, limits=SHORT)
    ill_link = BreakerSync(client, ill, "ill")
    asked_at = redis_time(client) - 5
    note_waiting(client, "first", asked_at, is_on=False)  # who met it before it was known
    note_waiting(client, "second", asked_at + 1, is_on=False)
    fail(ill)
    ill_link.step()
    assert state_of(client) is BreakerState.OPEN
    note_waiting(client, "third", asked_at + 5, is_on=True)

    def probes_failed() -> bool:
        ill_link.step()
        return FleetStore(client).counts().get("half_open>open", 0) >= 30

    eventually(probes_failed)
    (lasting,) = outages.read(client, *read_state(client))
    assert (lasting.ended_at, lasting.reason, lasting.jobs_waited) == (None, BreakerReason.OUTAGE, 3)
    well_links = [BreakerSync(client, make_engine(limits=SHORT), name) for name in ("well", "well too")]

    def written() -> list[tuple[object, ...]]:
        for link in well_links:
            link.step()
        return sql(
            "SELECT reason, failed_probes, jobs_waited, longest_wait_seconds, paused_by, "
            "extract(epoch FROM began_at), extract(epoch FROM ended_at) FROM outages"
        )

    (row,) = eventually(written)
    (over,) = outages.read(client, *read_state(client))
    assert row[:3] == ("outage", FleetStore(client).counts()["half_open>open"], 3)
    assert row[4] is None
    assert over.ended_at is not None
    assert abs(over.longest_wait_seconds - (over.ended_at - asked_at)) < 0.01
    assert abs(float(str(row[5])) - lasting.began_at) < 0.01
    assert lasting.failed_at is not None
    assert asked_at < lasting.failed_at <= lasting.began_at
    client.lpush("ballast:outages:unwritten", outages.to_json(over))  # its writer died before it said so
    client.delete("ballast:breaker:scribe")

    def written_again() -> bool:
        rows.append(written())
        return not client.llen("ballast:outages:unwritten")

    rows: list[list[tuple[object, ...]]] = []
    eventually(written_again)
    assert rows[-1] == [row]


def test_a_pause_is_an_outage_of_its_own_by_whoever_ordered_it(client: redis.Redis) -> None:
    def opened(state: FleetState, now: float) -> FleetState:
        trips_at_once = [Call(0.0, failed=True, slow=False, reason=BreakerReason.QUOTA, trips_at_once=True)]
        return state.evaluated(trips_at_once, now=now, limits=BreakerLimits(), jitter=0.0)

    FleetStore(client).change(opened, "test")
    override.set_override(client, "open", "Nadia")
    override.set_override(client, "auto", "Otto")
    pause, outage = outages.read(client, *read_state(client))
    assert (outage.reason, outage.paused_by, outage.ended_at) == (BreakerReason.QUOTA, None, pause.began_at)
    assert (pause.reason, pause.paused_by) == (None, "Nadia")
    assert "pause by Nadia" in breaker_text.described(client)
    for _ in range(2 * outages.KEPT_MAX):
        override.set_override(client, "open", "Nadia")
        override.set_override(client, "auto", "Nadia")
    assert len(outages.read(client, *read_state(client))) == outages.KEPT_MAX


def test_events_wait_where_the_table_is_not_there_yet(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql
) -> None:
    """The release before this one has none, and runs on beside it."""
    sql("ALTER TABLE breaker_events RENAME TO elsewhere")
    FleetStore(client).change(lambda state, now: state.overridden(BreakerState.CLOSED, now=now), "test")
    engine = make_engine()
    link = BreakerSync(client, engine, "a")
    link.step()
    assert client.llen("ballast:breaker:events") == 1
    assert engine.breaker.snapshot().state is BreakerState.CLOSED


def test_a_long_outage_keeps_its_beginning_and_its_end(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbcore.breaker.store.EVENTS_MAX", 10)
    store, limits = FleetStore(client), BreakerLimits()

    def opened(state: FleetState, now: float) -> FleetState:
        return FleetState(
            version=state.version + 1,
            epoch=state.epoch + 1,
            state=BreakerState.OPEN,
            reason=BreakerReason.OUTAGE,
            since=now,
            until=now,
        )

    def leased(state: FleetState, now: float) -> FleetState:
        return state.with_lease("lease", "p", now=now + 9, limits=limits)

    def failed(state: FleetState, now: float) -> FleetState:
        return state.with_probe_result("lease", BreakerReason.OUTAGE, now=now, limits=limits, jitter=0.0)

    store.change(opened, "beginning")
    for _ in range(30):
        store.change(leased, "p")
        store.change(failed, "p")
    store.change(lambda state, now: state.overridden(BreakerState.CLOSED, now=now), "end")
    events = list(store.oldest_events(100).values())
    assert len(events) == 11
    assert (events[0].by, events[-1].by) == ("beginning", "end")
    assert store.counts()["events_dropped"] == 51


def test_retries_of_all_processes_come_from_one_bucket(
    make_engine: MakeEngine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbcore.breaker.store.RETRIES_MAX", 30)
    monkeypatch.setattr("dbcore.breaker.store.RETRIES_PER_SECOND", 0.001)
    paid = 0
    members = []
    for name in "abcdef":
        engine = make_engine()
        members.append((engine, BreakerSync(client, engine, name)))
        while engine.retries.try_acquire(BREAKING):  # what it started with
            pass
    for _ in range(5):
        for engine, link in members:
            link.step()
            while engine.retries.try_acquire(BREAKING):
                paid += 1
    assert paid == 30


def test_processes_share_the_connection_budget_and_get_back_what_others_leave(
    make_settings: MakeSettings, make_engine: MakeEngine, client: redis.Redis, database_url: str
) -> None:
    settings = make_settings(database_url=database_url, db_connection_budget=10)
    granted = [within_budget(settings, client, name) for name in ("a", "b", "c")]
    assert [(each.db_pool_size, each.db_max_overflow) for each in granted] == [(3, 5), (2, 0), (1, 0)]
    engines = [GuardedEngine(each) for each in granted]
    links = [
        BreakerSync(client, engine, name, connection_budget=10, connections_wanted=8)
        for engine, name in zip(engines, ("a", "b", "c"), strict=True)
    ]
    try:
        for link in links:
            link.step()
        # The third started beyond the budget, for with none it could do nothing; the first gives one up for it.
        assert read_connections(client).possible == 10
        assert engines[0].snapshot().pool_max == 7
        links[0].store.leave("a")
        for link in links[1:]:
            link.step()
        assert engines[1].snapshot().pool_max == 8
        assert read_connections(client).possible <= 10
        silent = client.hget("ballast:connections", "c")
        assert isinstance(silent, bytes)
        possible, is_open, _ = silent.decode().split()
        before = read_connections(client)
        client.hset("ballast:connections", "c", f"{possible} {is_open} {time.time() - 60:.3f}")
        # Whoever is left to say so may be nobody: what a dead process had is not shown forever.
        assert read_connections(client).possible == before.possible - int(possible)
    finally:
        for engine in engines:
            engine.dispose()


def test_a_process_for_which_there_is_no_room_says_so_and_starts_with_one(
    client: redis.Redis, make_settings: MakeSettings
) -> None:
    settings = make_settings(db_connection_budget=9, database_url="postgresql://h/d")
    with capture_logs() as first:
        assert within_budget(settings, client, "first").db_max_overflow == settings.db_max_overflow
    assert first == []
    with capture_logs() as second:
        granted = within_budget(settings, client, "second")
    assert (granted.db_pool_size, granted.db_max_overflow) == (1, 0)
    assert second == [
        {
            "event": "connection_budget_exceeded",
            "log_level": "error",
            "option": "DB_CONNECTION_BUDGET",
            "budget": 9,
            "wanted": 8,
            "starts_with": 1,
        }
    ]


def test_a_limit_holds_for_connections_that_are_opened_later(
    make_engine: MakeEngine, sql: Sql, database_url: str
) -> None:
    engine = make_engine(settings={"db_pool_size": 1, "db_max_overflow": 0, "db_deadline_seconds": 1})
    held = []
    engine.limit_connections(3)

    def take(depth: int) -> None:
        def hold(_connection: object) -> None:
            held.append(depth)
            if depth < 5:
                take(depth + 1)

        engine.call(hold, name="hold", replayable=False)

    with pytest.raises(DatabaseAway):
        take(1)
    assert set(held) == {1, 2, 3}


def test_a_forked_child_wants_what_it_can_use(make_settings: MakeSettings) -> None:
    forked = wanted_by(make_settings(), forked=True)
    assert (forked.db_pool_size, forked.db_max_overflow) == (1, 1)
    alone = wanted_by(make_settings(), forked=False)
    assert (alone.db_pool_size, alone.db_max_overflow) == (3, 5)


def test_transitions_of_long_ago_are_deleted_as_new_ones_are_written(
    make_engine: MakeEngine, sql: Sql
) -> None:
    engine = make_engine()
    now = time.time()
    days = {"today": 0, "a quarter ago": 89, "long ago": 91, "before that": 400}

    def event(name: str) -> Event:
        return Event(name, BreakerState.CLOSED, BreakerState.OPEN, None, 0.5, "a", now - 86_400 * days[name])

    assert events.write(engine, [event(name) for name in days if name != "today"]) == 3
    assert events.write(engine, [event("today")]) == 1
    kept = sql("SELECT event_id FROM breaker_events ORDER BY created_at")
    assert kept == [("a quarter ago",), ("today",)]


def test_a_full_disk_is_probed_by_writing(
    make_engine: MakeEngine, client: redis.Redis, sql: Sql, database_url: str
) -> None:
    name = psycopg2.extensions.parse_dsn(database_url)["dbname"]
    sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    engine = make_engine(limits=SHORT, settings={"db_pool_recycle_seconds": 600})
    link = BreakerSync(client, engine, "a")
    with pytest.raises(DatabaseAway):
        engine.fetch_row(
            "INSERT INTO breaker_events (event_id, before, after, open_seconds, by_whom, created_at) "
            "VALUES ('x', '', '', 0, '', now()) RETURNING 1",
            name="write",
        )
    link.step()
    assert read_breaker(client).reason is BreakerReason.STORAGE
    assert not read_breaker(client).is_open
    assert engine.fetch_row("SELECT 1", name="read", writes=False) == (1,)
    for _ in range(3):
        eventually(lambda: read_breaker(client).retry_after_seconds == 0)
        link.step()
        assert state_of(client) is BreakerState.OPEN
    sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    def closed() -> bool:
        link.step()
        return state_of(client) is BreakerState.CLOSED

    eventually(closed)


def breaker_command(redis_url: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    if redis_url is not None:
        environment["REDIS_URL"] = redis_url
    return subprocess.run(
        [sys.executable, "-m", "dbcore", "breaker", *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_operator_opens_it_holds_it_closed_and_gives_it_back(
    make_member: MakeMember, redis_url: str, client: redis.Redis
) -> None:
    member = make_member("a")
    assert "state        closed" in breaker_command(redis_url).stdout
    said = breaker_command(redis_url, "open")
    assert said.returncode == 0
    assert "state        forced_open" in said.stdout
    assert f"paused by    {override.user_here()}" in said.stdout
    eventually(lambda: member.tell("state") == "forced_open -")
    assert member.tell("call") == "outage"
    restarted = make_member("b")
    eventually(lambda: restarted.tell("state") == "forced_open -")
    breaker_command(redis_url, "close")
    eventually(lambda: member.tell("state") == "disabled -")
    assert member.tell("call") == "ok"
    breaker_command(redis_url, "auto")
    eventually(lambda: member.tell("state") == "closed -")


def test_what_the_command_cannot_do_is_said_in_one_line() -> None:
    away = breaker_command(f"redis://127.0.0.1:{free_port()}/0", "open")
    assert (away.returncode, len(away.stderr.splitlines())) == (2, 1)
    assert "Redis does not answer" in away.stderr
    unset = breaker_command(None)
    assert (unset.returncode, len(unset.stderr.splitlines())) == (2, 1)
    assert "REDIS_URL is not set" in unset.stderr


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (b"\xff", "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b'{"state": "resting"}', "state: Input should be 'closed'"),
        (b'{"version": "many"}', "version: Input should be a valid integer"),
        (b'{"state": "open", "until": "later"}', "until: Input should be a valid number"),
        (None, "not a string"),
    ],
)
def test_a_state_that_cannot_be_read_gives_way_to_an_operators_word(
    make_engine: MakeEngine, client: redis.Redis, kept: bytes | None, said: str
) -> None:
    engine = make_engine()
    link = BreakerSync(client, engine, "a")
    state_reader = CachedStateReader(client)
    if kept is None:
        client.rpush("ballast:breaker", "closed")
    else:
        client.set("ballast:breaker", kept)
    with pytest.raises(StateUnreadable, match=said):
        breaker_text.described(client)
    assert state_reader.read().state is BreakerState.CLOSED
    override.set_override(client, "open", "test")
    assert state_reader.read().state is BreakerState.FORCED_OPEN
    link.step()
    assert engine.breaker.snapshot().state is BreakerState.FORCED_OPEN


def test_the_command_says_that_it_cannot_read_the_state_and_what_to_do(
    redis_url: str, client: redis.Redis
) -> None:
    client.rpush("ballast:breaker", "closed")
    unreadable = breaker_command(redis_url)
    assert (unreadable.returncode, len(unreadable.stderr.splitlines())) == (2, 1)
    assert "cannot read (not a string)" in unreadable.stderr
    assert unreadable.stderr.endswith("python -m dbcore breaker auto\n")
    replaced = breaker_command(redis_url, "auto")
    assert replaced.returncode == 0
    assert "state        closed" in replaced.stdout


@contextmanager
def all_but_ours_taken(url: str) -> Iterator[None]:
    """An outsider takes every connection that is free when it comes."""
    taken: list[psycopg2.extensions.connection] = []
    try:
        with suppress(psycopg2.OperationalError):
            while True:
                taken.append(psycopg2.connect(url))
        yield
    finally:
        for connection in taken:
            connection.close()


def test_where_anybody_finds_no_connection_the_bulk_worker_gives_up_its_idle_one(
    make_engine: MakeEngine, client: redis.Redis, victim: EmbeddedPostgres
) -> None:
    bulk, people = make_engine(victim.url), make_engine(victim.url)
    bulk_link = BreakerSync(client, bulk, "bulk", bulk=True)
    people_link = BreakerSync(client, people, "people")
    assert bulk.fetch_row("SELECT 1", name="touch") == (1,)
    with all_but_ours_taken(victim.url):
        bulk_link.step()
        assert bulk.connections_open == 1  # nobody misses it
        with pytest.raises(DatabaseAway) as away:
            people.fetch_row("SELECT 1", name="touch")
        assert away.value.kind is FailureKind.SATURATION
        people_link.step()
        assert bulk_link.store.is_saturated()
        bulk_link.step()
        assert bulk.connections_open == 0
        assert people.fetch_row("SELECT 1", name="touch") == (1,)
    assert bulk.fetch_row("SELECT 1", name="touch") == (1,)
    assert bulk.connections_open == 1


def test_a_slow_call_takes_no_connection_from_anybody(make_engine: MakeEngine, client: redis.Redis) -> None:
    engine = make_engine()
    link = BreakerSync(client, engine, "slow")
    engine.breaker.failed(engine.breaker.free_permit or Permit(0), FailureKind.SLOW)
    link.step()
    assert not link.store.is_saturated()
