"""Senders in this process, on real stores: who takes over what from whom, step by step."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from dbcore import broadcast_leases, broadcasts
from dbcore.broadcast_leases import DeliveryStatus, Lease, Result
from dbcore.engine import GuardedEngine
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from tests.conftest import MakeSettings
from tests.queueing import Queueing, queueing_at
from workers import totals
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.chunk import Chunk
from workers.broadcasts.leasing import take_chunk
from workers.broadcasts.record import LeaseRecord
from workers.jobs import SendChunk
from workers.not_now import NotNow
from workers.telegram.pacer import Pacer

PEOPLE = range(1001, 1011)


@pytest.fixture
def queueing(redis_url: str) -> Iterator[Queueing]:
    with queueing_at(redis_url) as ready:
        yield ready


@pytest.fixture
def engine(make_settings: MakeSettings, database_url: str) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url))
    yield made
    made.dispose()


Home = Callable[[], Broadcaster]


@pytest.fixture
def home(queueing: Queueing, engine: GuardedEngine) -> Home:
    """What each worker process has."""

    def make() -> Broadcaster:
        return Broadcaster(
            queueing.client,
            engine,
            queueing.inbox,
            queueing.publisher,
            threading.Event(),
            Pacer(queueing.client),
        )

    return make


@pytest.fixture
def broadcast_id(engine: GuardedEngine, database_url: str) -> int:
    """A broadcast to PEOPLE that is being sent."""
    query(
        database_url,
        "INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(%s, %s) n RETURNING 1",
        PEOPLE.start,
        PEOPLE.stop - 1,
    )
    made = broadcasts.create(engine, key="b", payload={"text": "hi"}, segment={}, actor="test")
    broadcasts.begin(engine, made.id)
    return made.id


def query(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall()
    connection.close()
    return rows


def states(url: str) -> Counter[object]:
    return Counter(dict(query(url, "SELECT status, count(*) FROM broadcast_deliveries GROUP BY 1")))  # type: ignore[arg-type]


def leased(
    engine: GuardedEngine, broadcast_id: int, number: int, *, limit: int = 100, seconds: float = 60
) -> Lease:
    return broadcast_leases.lease(engine, broadcast_id, number, run=None, limit=limit, seconds=seconds)


def taken(home: Broadcaster, broadcast_id: int, job_id: str) -> Chunk | None:
    return take_chunk(home, SendChunk(broadcast_id=broadcast_id, run=1, number=1), job_id)


class Interrupted(LeaseRecord):
    """Somebody else is quicker, right after a record was taken over."""

    def __init__(self, home: Broadcaster, meanwhile: Callable[[], object]) -> None:
        super().__init__(home._redis)
        self._meanwhile = meanwhile

    def take_over(self, number: int, holder: str) -> dict[int, Result] | None:
        before = super().take_over(number, holder)
        self._meanwhile()
        return before


def settle(home: Broadcaster, broadcast_id: int, job_id: str) -> None:
    """Nothing is left but what a dead sender held."""
    with pytest.raises(NotNow):
        taken(home, broadcast_id, job_id)


def test_two_that_settle_a_lease_without_a_record_at_once_give_nobody_back(
    home: Home, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    leased(
        engine, broadcast_id, 99, seconds=0
    )  # of a program without Redis, or from before Redis lost its data
    slow, quick = home(), home()
    slow.record = Interrupted(slow, lambda: settle(quick, broadcast_id, "quick"))
    settle(slow, broadcast_id, "slow")
    assert states(database_url) == Counter(unknown=len(PEOPLE))


def test_settled_by_one_who_stopped_half_way_a_lease_without_a_record_is_unknown_still(
    home: Home, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    leased(engine, broadcast_id, 99, seconds=0)
    dying = home()

    def die() -> None:
        raise DatabaseAway(FailureKind.OUTAGE, 1.0)

    dying.record = Interrupted(dying, die)
    with pytest.raises(DatabaseAway):
        taken(dying, broadcast_id, "dying")
    settle(home(), broadcast_id, "next")
    assert states(database_url) == Counter(unknown=len(PEOPLE))


def test_whose_lease_comes_back_while_it_is_settled_sends_alone(
    home: Home, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    """Its sends are known to the record alone, and the one who settles read that before."""
    sender, settler = home(), home()
    number, _ = sender.record.begin("slow", "first")
    lease = leased(engine, broadcast_id, number, seconds=0)
    begun = [each.user_id for each in lease.recipients[:3]]

    def come_back() -> None:
        assert sender.record.begin("slow", "second")[0] == number
        leased(engine, broadcast_id, number)
        assert sender.record.intend(number, "second", begun)

    settler.record = Interrupted(settler, come_back)
    settle(settler, broadcast_id, "settler")
    assert states(database_url) == Counter(leased=len(PEOPLE))
    assert set(sender.record.begin("slow", "third")[1]) == set(begun)


def test_a_record_is_kept_where_the_table_took_nothing_of_it(
    home: Home, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    """Its rows are leased anew by then, and whoever holds them needs to know whom they were sent to."""
    dead, settler = home(), home()
    number, _ = dead.record.begin("dead", "first")
    lease = leased(engine, broadcast_id, number, seconds=0)
    dead.record.intend(number, "first", [each.user_id for each in lease.recipients])

    class Overtaken(LeaseRecord):
        def holds(self, number: int, holder: str) -> bool:
            held = super().holds(number, holder)
            leased(engine, broadcast_id, number, seconds=0)
            return held

    settler.record = Overtaken(settler._redis)
    settle(settler, broadcast_id, "settler")
    settle(home(), broadcast_id, "next")
    assert states(database_url) == Counter(unknown=len(PEOPLE))
    counted = settler._redis.hget(totals.KEY, totals.name_of("recipients", DeliveryStatus.UNKNOWN))
    assert counted == b"10"
