"""Senders in this process, on real stores: who takes over what from whom, step by step."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import psycopg2
import pytest
import pytest_asyncio
import redis
from telegram import Bot

from ballast.broadcasts.albums import Albums
from ballast.broadcasts.schedule import Schedule
from ballast.builtin.broadcasts import DraftBroadcast, SendChunk, StartBroadcast
from ballast.queueing.snooze import Snoozed
from ballast.status import counters
from ballast.telegram.rate_limiter import HALT_SECONDS_MAX, SEVERAL_CHATS, GrantLog, RateLimiter
from ballast.telegram.transport import AiohttpRequest
from dbcore.broadcasts import broadcasts, leases
from dbcore.broadcasts.broadcasts import BroadcastRefused, BroadcastStatus
from dbcore.broadcasts.leases import DeliveryStatus, Lease, Result
from dbcore.errors import DatabaseAway
from dbcore.failures import FailureKind
from dbcore.guard.engine import GuardedEngine
from devstack.ports import free_port
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.broadcasting import received
from tests.harness.queueing import Queueing, queueing_at
from tests.harness.servers import running_telegram
from workers.broadcasts.broadcaster import Broadcaster
from workers.broadcasts.drafts import draft
from workers.broadcasts.send_journal import SendJournal
from workers.broadcasts.sender import REST_SECONDS, Chunk, take_chunk
from workers.replies import UNCERTAIN_SENDS_MAX

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
            RateLimiter(queueing.client),
        )

    return make


@pytest.fixture
def begun(engine: GuardedEngine, database_url: str) -> Callable[[range], int]:
    """Makes a broadcast to these people that is being sent; its id."""

    def make(people: range) -> int:
        query(
            database_url,
            "INSERT INTO users (telegram_id, first_name) SELECT n, 'P' FROM generate_series(%s, %s) n RETURNING 1",
            people.start,
            people.stop - 1,
        )
        made = broadcasts.create(engine, key="b", payload={"text": "hi"}, segment={}, actor="test")
        broadcasts.begin(engine, made.id)
        return made.id

    return make


@pytest.fixture
def broadcast_id(begun: Callable[[range], int]) -> int:
    return begun(PEOPLE)


def log_intents(sender: Broadcaster, number: int, holder: str, user_ids: Sequence[int]) -> None:
    """As one does who is about to send to these."""
    log = sender.record.intents(number, holder, {user_id: user_id for user_id in user_ids})
    assert sender.rate_limiter.bulk(user_ids, paid=True, log=log).granted == tuple(user_ids)


ANSWER_SECONDS_MAX = 0.5


@pytest.fixture(scope="module")
def telegram_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelegramProcess]:
    with running_telegram(tmp_path_factory.mktemp("senders") / "telegram") as server:
        yield server


@pytest_asyncio.fixture
async def telegram(telegram_server: TelegramProcess) -> AsyncIterator[TelegramControl]:
    async with TelegramControl(telegram_server.url) as control:
        yield control
        await control.clear_faults()


@pytest_asyncio.fixture
async def bot(telegram_server: TelegramProcess) -> AsyncIterator[Bot]:
    """It waits for an answer only a moment."""
    request = AiohttpRequest(connections=200, read_seconds=ANSWER_SECONDS_MAX)
    yield Bot(telegram_server.token, base_url=f"{telegram_server.url}/bot", request=request)
    await request.shutdown()


@pytest_asyncio.fixture
async def away() -> AsyncIterator[Bot]:
    """Nobody listens where it sends to."""
    request = AiohttpRequest(connections=200)
    yield Bot("1:x", base_url=f"http://127.0.0.1:{free_port()}/bot", request=request)
    await request.shutdown()


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
    return leases.lease(engine, broadcast_id, number, run=None, limit=limit, seconds=seconds)


def taken(home: Broadcaster, broadcast_id: int, job_id: str) -> Chunk | None:
    return take_chunk(home, SendChunk(broadcast_id=broadcast_id, run=1, number=1), job_id)


class Interrupted(SendJournal):
    """Somebody else is quicker, right after a record was taken over."""

    def __init__(self, client: redis.Redis, meanwhile: Callable[[], object]) -> None:
        super().__init__(client)
        self._meanwhile = meanwhile

    def take_over(self, number: int, holder: str) -> dict[int, Result] | None:
        before = super().take_over(number, holder)
        self._meanwhile()
        return before


def settle(home: Broadcaster, broadcast_id: int, job_id: str) -> None:
    """Nothing is left but what a dead sender held."""
    with pytest.raises(Snoozed):
        taken(home, broadcast_id, job_id)


def test_two_that_settle_a_lease_without_a_record_at_once_give_nobody_back(
    home: Home, queueing: Queueing, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    leased(
        engine, broadcast_id, 99, seconds=0
    )  # of a program without Redis, or from before Redis lost its data
    slow, quick = home(), home()
    slow.record = Interrupted(queueing.client, lambda: settle(quick, broadcast_id, "quick"))
    settle(slow, broadcast_id, "slow")
    assert states(database_url) == Counter(unknown=len(PEOPLE))


def test_settled_by_one_who_stopped_half_way_a_lease_without_a_record_is_unknown_still(
    home: Home, queueing: Queueing, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    leased(engine, broadcast_id, 99, seconds=0)
    dying = home()

    def die() -> None:
        raise DatabaseAway(FailureKind.OUTAGE, 1.0)

    dying.record = Interrupted(queueing.client, die)
    with pytest.raises(DatabaseAway):
        taken(dying, broadcast_id, "dying")
    settle(home(), broadcast_id, "next")
    assert states(database_url) == Counter(unknown=len(PEOPLE))


def test_whose_lease_comes_back_while_it_is_settled_sends_alone(
    home: Home, queueing: Queueing, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    """Its sends are known to the record alone, and the one who settles read that before."""
    sender, settler = home(), home()
    number, _ = sender.record.begin("slow", "first")
    lease = leased(engine, broadcast_id, number, seconds=0)
    begun = [each.user_id for each in lease.recipients[:3]]

    def come_back() -> None:
        assert sender.record.begin("slow", "second")[0] == number
        leased(engine, broadcast_id, number)
        log_intents(sender, number, "second", begun)

    settler.record = Interrupted(queueing.client, come_back)
    settle(settler, broadcast_id, "settler")
    assert states(database_url) == Counter(leased=len(PEOPLE))
    assert set(sender.record.begin("slow", "third")[1]) == set(begun)


def test_a_record_is_kept_where_the_table_took_nothing_of_it(
    home: Home, queueing: Queueing, engine: GuardedEngine, broadcast_id: int, database_url: str
) -> None:
    """Its rows are leased anew by then, and whoever holds them needs to know whom they were sent to."""
    dead, settler = home(), home()
    number, _ = dead.record.begin("dead", "first")
    lease = leased(engine, broadcast_id, number, seconds=0)
    log_intents(dead, number, "first", [each.user_id for each in lease.recipients])

    class Overtaken(SendJournal):
        def holds(self, number: int, holder: str) -> bool:
            held = super().holds(number, holder)
            leased(engine, broadcast_id, number, seconds=0)
            return held

    settler.record = Overtaken(queueing.client)
    settle(settler, broadcast_id, "settler")
    settle(home(), broadcast_id, "next")
    assert states(database_url) == Counter(unknown=len(PEOPLE))
    counted = queueing.client.hget(counters.KEY, counters.name_of("recipients", DeliveryStatus.UNKNOWN))
    assert counted == b"10"


async def ran(home: Broadcaster, bot: Bot, broadcast_id: int, job_id: str, *, run: int = 1) -> Snoozed | None:
    """One job's turn; what puts it off."""
    await asyncio.to_thread(home.starting.acquire)
    try:
        job = SendChunk(broadcast_id=broadcast_id, run=run, number=1)
        chunk = await asyncio.to_thread(take_chunk, home, job, job_id)
    except Snoozed as not_now:
        home.starting.release()
        return not_now
    if chunk is None:
        home.starting.release()
        return None
    try:
        await chunk.run(bot)
    except Snoozed as not_now:
        return not_now
    return None


async def test_while_telegram_hangs_one_at_a_time_is_tried_and_then_all_goes_on(
    home: Home,
    queueing: Queueing,
    begun: Callable[[range], int],
    engine: GuardedEngine,
    bot: Bot,
    telegram: TelegramControl,
    database_url: str,
) -> None:
    people = await telegram.create_users(240, first_id=50_000)
    broadcast_id = begun(people)
    over = asyncio.Event()

    def ended() -> bool:
        return broadcasts.require(engine, broadcast_id).status is BroadcastStatus.FINISHED

    async def lane(home: Broadcaster, name: str) -> None:
        """Whatever puts its job off, it is back in no time: so minutes pass in seconds."""
        number = 0
        while not ended():
            put_off = await ran(home, bot, broadcast_id, f"{name}-{number}")
            number += put_off is None
            if put_off is not None:
                await asyncio.sleep(min(put_off.seconds, 0.05 if not over.is_set() else 0.5))

    async def outage() -> None:
        while broadcasts.require(engine, broadcast_id).sent < 30:
            await asyncio.sleep(0.05)
        hanging = await telegram.add_fault("hang", methods=["sendMessage"], seconds=600)
        while (tried(queueing.client) or 0) < 2 and not ended():
            await asyncio.sleep(0.05)
        await telegram.clear_faults(hanging.id)
        over.set()

    first, second = home(), home()
    await asyncio.gather(
        outage(), *(lane(each, f"{n}-{m}") for n, each in enumerate((first, second)) for m in range(2))
    )
    broadcast = broadcasts.require(engine, broadcast_id)
    # What four chunks had begun with, at the free pace for as long as an answer is waited for, and two trials.
    assert broadcast.unknown <= 4 * 22 + 2
    assert broadcast.sent == 240 - broadcast.unknown
    assert tried(queueing.client) is None
    assert set((await received(telegram, people)).values()) == {1}


def tried(client: redis.Redis) -> int | None:
    """How many recipients were tried one by one; None where Telegram is not in trouble."""
    count = client.hget("ballast:broadcasts:trouble", "tried")
    return None if count is None else int(count)


async def test_with_few_left_and_telegram_away_its_job_rests_and_nothing_says_that_it_goes_on(
    home: Home, queueing: Queueing, begun: Callable[[range], int], away: Bot, database_url: str
) -> None:
    broadcast_id = begun(range(1001, 1004))
    sender = home()
    sender.lanes.schedule.after(broadcast_id, -1)
    sender.lanes.schedule.take_due(-1)  # it was woken once
    put_off = await ran(sender, away, broadcast_id, "one")
    assert put_off is not None
    assert put_off.seconds >= REST_SECONDS
    assert states(database_url) == Counter(pending=3)
    assert queueing.client.hget("ballast:broadcasts:wakes", str(broadcast_id)) == b"1"


async def test_who_comes_back_in_quiet_hours_is_not_sent_to_before_their_end(
    home: Home, queueing: Queueing, broadcast_id: int, engine: GuardedEngine, away: Bot, database_url: str
) -> None:
    dead, sender = home(), home()
    number, _ = dead.record.begin("one", "dead")
    lease = leased(engine, broadcast_id, number)
    log_intents(dead, number, "dead", [lease.recipients[0].user_id])
    now = sender.lanes.schedule.now()
    quiet = {"begin": f"{now:%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}", "zone": "UTC"}
    query(database_url, "UPDATE broadcasts SET quiet_hours = %s RETURNING 1", json.dumps(quiet))
    assert await ran(sender, away, broadcast_id, "one") is None
    assert states(database_url) == Counter(unknown=1, pending=len(PEOPLE) - 1)
    assert sender.lanes.schedule.take_due(30) == []
    assert sender.lanes.schedule.size() == 1
    assert queueing.client.zcard("ballast:inbox:all") == 0


async def test_what_a_superseded_sender_knows_is_recorded_and_nobody_else_is_begun_with(
    home: Home,
    queueing: Queueing,
    begun: Callable[[range], int],
    bot: Bot,
    telegram: TelegramControl,
    database_url: str,
) -> None:
    people = await telegram.create_users(20, first_id=51_000)
    broadcast_id = begun(people)
    sender = home()

    class TakenOver(SendJournal):
        """By another process, after some sends."""

        turns = 0

        def intents(self, number: int, holder: str, asked: Mapping[int, int]) -> GrantLog:
            self.turns += 1
            if self.turns == 2:
                self.begin("one", "other")
            return super().intents(number, holder, asked)

    sender.record = TakenOver(queueing.client)
    put_off = await ran(sender, bot, broadcast_id, "one")
    assert put_off is not None
    assert put_off.seconds == 0
    got = await received(telegram, people)
    assert 0 < len(got) < 20
    assert states(database_url) == Counter(sent=len(got), pending=20 - len(got))


async def test_a_recipient_whose_chat_is_refused_holds_up_nobody_and_gets_it_once_when_the_wait_is_over(
    home: Home,
    queueing: Queueing,
    begun: Callable[[range], int],
    engine: GuardedEngine,
    bot: Bot,
    telegram: TelegramControl,
    database_url: str,
) -> None:
    people = await telegram.create_users(40, first_id=60_000)
    first, second = people[0], people[7]
    broadcast_id = begun(people)
    for chat_id in (first, second):
        await telegram.add_fault("flood", methods=["sendMessage"], chat_id=chat_id, retry_after=600)
    sender = home()
    sender.lanes.schedule.after(broadcast_id, -1)
    put_off, number = None, 0
    while put_off is None and number < 20:
        put_off = await ran(sender, bot, broadcast_id, f"lane-{number}")
        number += 1
    # All others have it, none of them later for these two; and the lane comes back for them, not before.
    assert put_off is not None
    assert 500 < put_off.seconds <= 600
    assert states(database_url) == Counter(sent=38, leased=2)
    assert sender.lanes.schedule.take_due(30) == []
    assert len(await telegram.requests(method="sendMessage", chat_id=first)) == 1
    # Ten minutes later.
    await telegram.clear_faults()
    for chat_id in (first, second):
        queueing.client.delete(f"ballast:pace:waits:{chat_id}")
    waiting = f"ballast:broadcasts:waiting:{broadcast_id}"
    leases: list[bytes] = queueing.client.zrange(waiting, 0, -1)  # type: ignore[assignment]
    queueing.client.zadd(waiting, dict.fromkeys(leases, 1))
    while broadcasts.require(engine, broadcast_id).status is BroadcastStatus.SENDING and number < 40:
        assert await ran(sender, bot, broadcast_id, f"lane-{number}") is None
        number += 1
    assert states(database_url) == Counter(sent=40)
    assert set((await received(telegram, people)).values()) == {1}


async def test_who_waits_for_their_chat_is_found_although_redis_lost_its_data(
    home: Home,
    queueing: Queueing,
    begun: Callable[[range], int],
    bot: Bot,
    telegram: TelegramControl,
    database_url: str,
) -> None:
    people = await telegram.create_users(3, first_id=61_000)
    broadcast_id = begun(people)
    await telegram.add_fault("flood", methods=["sendMessage"], chat_id=people[0], retry_after=1, count=1)
    sender = home()
    assert await ran(sender, bot, broadcast_id, "one") is None
    assert states(database_url) == Counter(sent=2, leased=1)
    queueing.client.flushall()
    query(
        database_url,
        "UPDATE broadcast_deliveries SET leased_until = now() - interval '1 s' WHERE status = 'leased' RETURNING 1",
    )
    put_off = await ran(sender, bot, broadcast_id, "two")
    assert put_off is not None
    assert put_off.seconds == 0
    # Nobody knows any more that it was not sent to.
    assert states(database_url) == Counter(sent=2, unknown=1)


async def test_while_the_fleet_pauses_nobody_wakes_a_broadcast_or_takes_it_for_stuck(
    home: Home, broadcast_id: int, away: Bot
) -> None:
    sender = home()
    schedule = sender.lanes.schedule
    schedule.after(broadcast_id, -1)
    for chat_id in range(1, SEVERAL_CHATS + 1):
        sender.rate_limiter.refuse_chat(chat_id, 600)
    put_off = await ran(sender, away, broadcast_id, "one")
    assert put_off is not None
    assert 20 < put_off.seconds <= HALT_SECONDS_MAX
    assert schedule.take_due(30) == []
    assert schedule.stuck() == []
    schedule.remove(broadcast_id)  # paused meanwhile, it stays so
    await ran(sender, away, broadcast_id, "one")
    assert schedule.size() == 0


def test_nothing_is_scheduled_or_sending_that_the_agenda_does_not_know_of(
    home: Home, broadcast_id: int, engine: GuardedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whatever dies in the middle of an order, somebody comes back to it."""
    orders = home().orders
    later = datetime.now(UTC) + timedelta(days=1)
    orders.pause(broadcast_id)
    drawn_up = broadcasts.create(
        engine, key="d", payload={"text": "hi"}, segment={}, actor="test", scheduled_for=later, draft=True
    )
    whole = broadcasts.create(engine, key="e", payload={"text": "hi"}, segment={}, actor="test", draft=True)
    for order in (
        lambda: orders.start(StartBroadcast(broadcast_id=drawn_up.id), key=""),
        lambda: orders.start(StartBroadcast(broadcast_id=whole.id), key=""),
        lambda: orders.start(StartBroadcast(text="hi", scheduled_for=later), key="f"),
        lambda: orders.start(StartBroadcast(text="hi"), key="g"),
        lambda: orders.resume(broadcast_id),
        lambda: orders.resend_unknown(broadcast_id, "word"),
    ):
        before = broadcasts.list_active(engine)
        with monkeypatch.context() as patch:
            patch.setattr(
                orders.lanes, "schedule", Schedule(redis.Redis.from_url("redis://127.0.0.1:1", retry=None))
            )
            with pytest.raises(redis.RedisError):
                order()
        assert broadcasts.list_active(engine) == before
        order()
        assert {each for each, _ in _due(orders.lanes.schedule)} >= broadcasts.list_active(engine).keys()
    assert len(broadcasts.list_active(engine)) == 5


def _due(schedule: Schedule) -> list[tuple[int, float]]:
    """All of it, whenever it is due."""
    found = cast(
        list[tuple[bytes, float]], schedule._redis.zrange("ballast:broadcasts:due", 0, -1, withscores=True)
    )
    return [(int(each), score) for each, score in found]


def test_an_agenda_that_redis_lost_is_made_anew_from_the_table(
    home: Home, broadcast_id: int, engine: GuardedEngine
) -> None:
    orders = home().orders
    schedule = orders.lanes.schedule
    later = datetime.now(UTC) + timedelta(days=1)
    scheduled = orders.start(StartBroadcast(text="hi", scheduled_for=later), key="s").id
    paused = orders.start(StartBroadcast(text="hi"), key="p").id
    orders.pause(paused)
    schedule._redis.flushdb()
    assert not schedule.is_complete()
    orders.recall()
    assert schedule.is_complete()
    found = dict(_due(schedule))
    assert set(found) == {broadcast_id, scheduled}
    assert found[scheduled] == pytest.approx(later.timestamp())
    assert [each for each, _ in schedule.take_due(30)] == [broadcast_id]
    orders.recall()  # what it knows stays as it is
    assert schedule.take_due(30) == []


def test_what_a_program_sends_the_workers_do_not(
    home: Home, queueing: Queueing, broadcast_id: int, engine: GuardedEngine, database_url: str
) -> None:
    sender = home()
    orders = sender.orders
    query(database_url, "UPDATE broadcasts SET by_program = true RETURNING 1")
    for order in (
        lambda: orders.start(StartBroadcast(broadcast_id=broadcast_id), key=""),
        lambda: orders.resume(broadcast_id),
        lambda: orders.resend_unknown(broadcast_id, "word"),
        lambda: taken(sender, broadcast_id, "by-hand"),
    ):
        with pytest.raises(BroadcastRefused, match="a program of its own"):
            order()
    orders.pause(broadcast_id)
    assert orders.resume(broadcast_id).status is BroadcastStatus.SENDING  # for the program, called again
    orders.recall()
    orders.wake(broadcast_id)
    assert sender.lanes.schedule.size() == 0
    jobs = cast(list[bytes], queueing.client.zrange("ballast:inbox:all", 0, -1))
    assert [job for job in jobs if b"-card-" not in job] == []


def test_what_is_sent_once_more_counts_against_the_cap_in_stars(
    home: Home, begun: Callable[[range], int], engine: GuardedEngine, database_url: str
) -> None:
    broadcast_id = begun(range(2001, 2011))
    query(database_url, "UPDATE broadcasts SET paid = true, stars_max = 1 RETURNING 1")
    lease = leased(engine, broadcast_id, 1)
    results = [Result(each.user_id, DeliveryStatus.UNKNOWN) for each in lease.recipients]
    leases.record(engine, broadcast_id, lease, results)
    orders = home().orders
    with pytest.raises(BroadcastRefused, match="20 messages may cost 2 Stars, and stars_max is 1"):
        orders.resend_unknown(broadcast_id, "word")
    query(database_url, "UPDATE broadcasts SET stars_max = 2 RETURNING 1")
    assert orders.resend_unknown(broadcast_id, "word") == 10
    assert orders.resend_unknown(broadcast_id, "word") == 0  # the same word, delivered twice


async def test_a_preview_that_telegram_never_confirms_is_sent_so_often_and_then_given_up(
    home: Home, bot: Bot, telegram: TelegramControl, engine: GuardedEngine, client: redis.Redis
) -> None:
    """Telegram shows it each time, and its answer is lost."""
    admin = (await telegram.create_user("Ann")).id
    original = (await telegram.send_text(admin, "News")).message
    await telegram.add_fault("reset", methods=["copyMessage"], when="after")
    job = DraftBroadcast(telegram_id=admin, message_id=original.message_id)
    uncertain, told = 0, None
    for _ in range(100):
        preview = draft(home(), Albums(client), job, "draft", uncertain=uncertain)
        try:
            (told,) = await preview.run(bot)
            break
        except Snoozed as put_off:
            uncertain += put_off.uncertain
            await asyncio.sleep(0 if put_off.uncertain else put_off.seconds)  # it is not its chat's turn yet
    assert told is not None
    assert "Telegram did not confirm the preview" in told.text
    shown = await telegram.messages(admin, from_bot=True)
    assert [message.text for message in shown] == ["News"] * UNCERTAIN_SENDS_MAX
    made = broadcasts.find_by_key(engine, "draft")
    assert made is not None
    assert made.status is BroadcastStatus.CANCELLED
