"""What dies while a broadcast is under way: it goes on by itself, and nobody gets it twice."""

from __future__ import annotations

import asyncio
import signal

from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.composition import Segment
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import Broadcasting, assert_each_got_what_the_table_says, received
from tests.outages.kinds import crowd


async def under_way(
    cluster: Broadcasting, telegram: TelegramControl, first_id: int, count: int
) -> tuple[int, range]:
    """A broadcast of which a part is out, and its people."""
    people = cluster.register(first_id, len(await telegram.create_users(count, first_id=first_id)))
    job = StartBroadcast(text="Hello", segment=Segment(telegram_ids=tuple(people)))
    broadcast_id = await asyncio.to_thread(cluster.started, job)
    await asyncio.to_thread(cluster.wait_until_done, broadcast_id, 40)
    return broadcast_id, people


async def assert_it_ends_with_nobody_served_twice(
    cluster: Broadcasting, telegram: TelegramControl, broadcast_id: int, people: range
) -> Broadcast:
    broadcast = await asyncio.to_thread(cluster.wait_for, broadcast_id, BroadcastStatus.FINISHED)
    assert_each_got_what_the_table_says(
        broadcast, cluster.states(broadcast_id), await received(telegram, people), people
    )
    await asyncio.to_thread(cluster.stack.wait_until, lambda: not cluster.jobs(), "no job is left")
    return broadcast


async def test_kill_9_of_the_workers_at_any_moment(cluster: Broadcasting, telegram: TelegramControl) -> None:
    await telegram.add_fault(
        "latency", methods=["sendMessage"], seconds=0.2
    )  # so that sends are always under way
    broadcast_id, people = await under_way(cluster, telegram, 30_000, 400)
    for victim in ("bulk", "bulk2", "bulk"):
        cluster.stack.kill(victim)
        cluster.start(victim)
        done = broadcasts.require(cluster.engine, broadcast_id).done
        await asyncio.to_thread(cluster.wait_until_done, broadcast_id, min(done + 40, len(people)))
    broadcast = await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
    assert broadcast.unknown <= 60  # at most what was under way in the killed ones, not what they had leased


async def test_a_worker_that_is_told_to_stop_leaves_nothing_unknown(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=0.2)
    broadcast_id, people = await under_way(cluster, telegram, 31_000, 500)
    for name in cluster.bulk:
        cluster.stack.send_signal(name, signal.SIGTERM)
    for name in cluster.bulk:
        await asyncio.to_thread(cluster.stack.stop, name)
    assert broadcasts.require(cluster.engine, broadcast_id).status is BroadcastStatus.SENDING
    cluster.start_missing()
    broadcast = await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
    assert broadcast.unknown == 0


async def test_redis_killed(cluster: Broadcasting, telegram: TelegramControl) -> None:
    broadcast_id, people = await under_way(cluster, telegram, 32_000, 250)
    cluster.servers.redis.kill()
    await asyncio.sleep(2)  # long enough for every send under way to end without it
    before = await received(telegram, people)
    await asyncio.sleep(2)
    assert (
        await received(telegram, people) == before
    )  # nobody is begun with: there would be no intent to find
    assert sum(before.values()) < len(people)
    cluster.servers.redis.start()
    broadcast = await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
    assert broadcast.unknown == 0  # whoever sent was there to tell


async def test_the_database_stopped_for_some_seconds(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    broadcast_id, people = await under_way(cluster, telegram, 33_000, 250)
    cluster.servers.postgres.kill()
    await asyncio.sleep(8)  # the chunks under way end meanwhile, and nothing new starts
    before = sum((await received(telegram, people)).values())
    await asyncio.sleep(2)
    assert sum((await received(telegram, people)).values()) == before
    cluster.servers.postgres.start()
    broadcast = await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
    assert broadcast.unknown == 0


async def test_both_stores_and_a_worker_killed_at_once(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    broadcast_id, people = await under_way(cluster, telegram, 34_000, 200)
    cluster.servers.postgres.kill()
    cluster.servers.redis.kill()
    cluster.stack.kill("bulk")
    cluster.servers.redis.start()
    cluster.servers.postgres.start()
    cluster.start("bulk")
    await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)


async def test_when_redis_lost_everything_whoever_was_leased_is_unknown_and_the_rest_goes_on_by_itself(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=0.2)
    broadcast_id, people = await under_way(cluster, telegram, 35_000, 200)
    for name in cluster.bulk:
        cluster.stack.kill(name)
    leased = [person for person, state in cluster.states(broadcast_id).items() if state == "leased"]
    assert leased
    cluster.stack.redis.flushall()
    cluster.stack.query(
        "UPDATE broadcast_deliveries SET leased_until = now() WHERE broadcast_id = %s AND status = 'leased' "
        "RETURNING 1",
        broadcast_id,
    )
    cluster.start_missing()
    await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
    states = cluster.states(broadcast_id)
    assert {states[person] for person in leased} == {"unknown"}


async def test_where_no_connection_is_to_spare_broadcasts_start_nothing_and_go_on_later(
    cluster: Broadcasting, telegram: TelegramControl
) -> None:
    await telegram.add_fault("latency", methods=["sendMessage"], seconds=0.2)
    broadcast_id, people = await under_way(cluster, telegram, 36_000, 400)

    def given_way() -> bool:
        return "broadcasts_shed" in "".join(cluster.stack.log(name) for name in cluster.bulk)

    with crowd(cluster.servers.postgres.url):
        await asyncio.to_thread(cluster.stack.wait_until, given_way, "broadcasts give way")
    await assert_it_ends_with_nobody_served_twice(cluster, telegram, broadcast_id, people)
