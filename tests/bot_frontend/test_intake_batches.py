"""Updates that are taken together: each as if it came alone."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.broadcasts.albums import Albums
from ballast.builtin.replies import DeliverReply
from ballast.builtin.users import Quarantine
from ballast.inbox import Acceptance, Batcher, Dispatch, Offer
from ballast.inbox.limits import LANE_LENGTH_MAX, OFFERS_LENGTH_MAX
from ballast.queueing.envelope import Envelope
from ballast.queueing.queues import QUEUES
from bot_frontend import texts
from bot_frontend.callbacks import PressReply
from bot_frontend.intake import Intake, IntakeFull
from bot_frontend.router import route
from devstack.ports import free_port
from devstack.redis import EmbeddedRedis
from tests.bot_frontend.test_intake import DATE, written
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at
from tests.harness.relay import lossy_relay

MakeIntake = Callable[..., Intake]


@pytest.fixture
def make_intake(make_settings: MakeSettings) -> MakeIntake:
    def make(queueing: Queueing, database_is_away: Callable[[], bool] = lambda: False) -> Intake:
        settings = make_settings(telegram_bot_token="123456:LOCAL", redis_url=queueing.redis_url)
        albums = Albums(queueing.client)
        return Intake(settings, queueing.inbox, queueing.publisher, albums, database_is_away)

    return make


@pytest.fixture
def intake(make_intake: MakeIntake, queueing: Queueing) -> Intake:
    return make_intake(queueing)


def pressed(update_id: int, user_id: int = 8) -> dict[str, Any]:
    sender = {"id": user_id, "is_bot": False, "first_name": "Bob"}
    message = {"message_id": 3, "date": DATE, "chat": {"id": user_id, "type": "private"}}
    query = {"id": f"press-{update_id}", "from": sender, "message": message, "data": "c:token"}
    return {"update_id": update_id, "callback_query": query}


def job_id_of(update_id: int) -> str:
    return f"123456-{update_id}-{DATE}"


def lanes(queueing: Queueing) -> dict[str, list[str]]:
    """The ids in every lane."""
    found = {}
    for key in queueing.client.scan_iter("ballast:inbox:lane:*"):
        ids = cast("list[bytes]", queueing.client.lrange(key, 0, -1))
        found[key.decode().removeprefix("ballast:inbox:lane:")] = [job_id.decode() for job_id in ids]
    return found


def envelope_of(queueing: Queueing, job_id: str) -> Envelope:
    return Envelope.model_validate_json(queueing.client.hget(f"ballast:inbox:job:{job_id}", "envelope") or "")


def messages_in(queueing: Queueing, queue: str) -> list[str]:
    """The ids of the jobs that its messages stand for, in the order they are handed out."""
    return [json.loads(message)["headers"]["id"] for message in queueing.client.lrange(queue, 0, -1)][::-1]


def told(queueing: Queueing, job_id: str) -> list[str]:
    fields = envelope_of(queueing, job_id).fields
    return [message.text for message in DeliverReply.decode(fields).messages]


def calls(client: redis.Redis) -> Counter[str]:
    """How often each command was called until now."""
    found = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()})


def evaluations(client: redis.Redis) -> int:
    return calls(client)["evalsha"]


def test_a_whole_poll_is_recorded_and_published_by_one_script_in_its_order(
    intake: Intake, queueing: Queueing
) -> None:
    intake.take_many([written("/balance", 1)])
    before = evaluations(queueing.client)
    assert (
        intake.take_many([written("/balance", 100 + user, user) for user in range(10, 110)]) == [None] * 100
    )
    assert evaluations(queueing.client) == before + 1
    assert messages_in(queueing, "balances") == [
        job_id_of(1),
        *(job_id_of(100 + user) for user in range(10, 110)),
    ]


def test_a_lone_command_costs_one_script_and_one_message(intake: Intake, queueing: Queueing) -> None:
    intake.take_many([written("/balance", 1)])
    before = calls(queueing.client)
    intake.take_many([written("/balance", 2, user_id=9)])
    asked = calls(queueing.client) - before
    assert (asked["evalsha"], asked["lpush"], asked["mget"]) == (1, 1, 0)


def test_a_few_commands_cost_no_look_at_dialogues_and_a_wrong_guess_is_decided_again(
    intake: Intake, queueing: Queueing
) -> None:
    intake.take_many([written("/send", 1)])
    before = calls(queueing.client)
    intake.take_many([written("/balance", 2, 9), written("/balance", 3), written("/balance", 4, 9)])
    asked = calls(queueing.client) - before
    assert (asked["evalsha"], asked["lpush"], asked["mget"]) == (2, 1, 0)
    assert lanes(queueing) == {
        "user:8": [job_id_of(1), job_id_of(3)],
        "user:9": [job_id_of(2), job_id_of(4)],
    }
    assert queueing.inbox.dialogues(["ballast:dialogue:8:8"])["ballast:dialogue:8:8"] is not None


def test_a_bad_update_in_the_middle_hurts_itself_alone(intake: Intake, queueing: Queueing) -> None:
    bad = {"update_id": 3, "message": {"message_id": "no number"}}
    taken = intake.take_many([written("/balance", 1, 7), pressed(2, 8), bad, {"update_id": 4}, pressed(5, 9)])
    assert taken == [None, PressReply("press-2", True), None, None, PressReply("press-5", True)]
    ids = {key for key, (job_id,) in lanes(queueing).items() if job_id.startswith("123456-unreadable-")}
    assert len(ids) == 1
    assert lanes(queueing).keys() - ids == {"user:7", "user:8", "user:9"}


@pytest.mark.parametrize("position", [0, 6, 12])
def test_an_update_that_trips_a_defect_is_kept_for_an_operator_and_the_others_are_taken(
    intake: Intake, queueing: Queueing, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    def with_a_defect(reading: Any, *arguments: Any) -> Any:
        if reading.update_id == position:
            raise ValueError("a defect")
        return route(reading, *arguments)

    monkeypatch.setattr("bot_frontend.intake.route", with_a_defect)
    taken = intake.take_many([pressed(number, 100 + number) for number in range(13)])
    assert taken == [PressReply(f"press-{number}", number != position) for number in range(13)]
    (tripped,) = (lane for lane in lanes(queueing) if "unreadable" in lane)
    assert "a defect" in Quarantine.decode(envelope_of(queueing, tripped).fields).error
    assert lanes(queueing).keys() - {tripped} == {f"user:{100 + n}" for n in range(13) if n != position}
    assert queueing.inbox.size() == 13


def test_the_steps_of_a_conversation_may_come_at_once(intake: Intake, queueing: Queueing) -> None:
    others = [written("/balance", 10 + number, 100 + number) for number in range(3)]
    steps = [written("/send", 1), written("@carol", 2), written("5 tea", 3), written("@dave", 4)]
    intake.take_many(
        [update for pair in zip(steps, [*others, written("/send", 20, 9)], strict=True) for update in pair]
    )
    assert lanes(queueing)["user:8"] == [job_id_of(number) for number in (1, 2, 3, 4)]
    created = envelope_of(queueing, job_id_of(3))
    assert (created.kind, created.fields["recipient"], created.fields["amount"]) == (
        "transactions.create",
        "@carol",
        500,
    )
    assert envelope_of(queueing, job_id_of(4)).kind == "replies.deliver"  # nothing was asked any more
    assert queueing.inbox.dialogues(["ballast:dialogue:9:9"])["ballast:dialogue:9:9"] is not None


def test_a_conversation_that_went_on_meanwhile_is_decided_again_in_the_order_of_the_batch(
    make_intake: MakeIntake, queueing: Queueing
) -> None:
    other = make_intake(queueing)
    other.take_many([written("/send", 1)])
    races = iter([[written("@carol", 2)]])

    def looked_at() -> bool:  # another frontend takes an update while this one is decided
        for updates in races:
            other.take_many(updates)
        return False

    intake = make_intake(queueing, looked_at)
    intake.take_many(
        [written("/balance", 3, 9), written("5 tea", 4), written("/balance", 5, 9), written("/balance", 6)]
    )
    assert lanes(queueing) == {
        "user:8": [job_id_of(number) for number in (1, 2, 4, 6)],
        "user:9": [job_id_of(3), job_id_of(5)],
    }
    assert envelope_of(queueing, job_id_of(4)).fields["recipient"] == "@carol"


def test_a_conversation_others_never_let_go_on_is_taken_without_it_after_some_tries(
    make_intake: MakeIntake, queueing: Queueing
) -> None:
    numbers = iter(range(100, 200))

    def moved() -> bool:
        queueing.client.set("ballast:dialogue:8:8", f'{{"asked_by": {next(numbers)}}}')
        return False

    make_intake(queueing, moved).take_many([written("/send", 1), written("/balance", 2, 9)])
    assert queueing.inbox.size() == 2


def test_a_full_lane_in_the_middle_refuses_only_what_does_not_fit(intake: Intake, queueing: Queueing) -> None:
    waiting = LANE_LENGTH_MAX - 1
    for first in range(0, waiting, 100):
        intake.take_many([written("/balance", number) for number in range(first, min(waiting, first + 100))])
    batch = [(number, 8 if number % 2 else 9) for number in range(300, 306)]
    intake.take_many([written("/balance", number, user_id) for number, user_id in batch])
    assert len(lanes(queueing)["user:8"]) == LANE_LENGTH_MAX
    assert lanes(queueing)["user:8"][-1] == job_id_of(301)
    assert lanes(queueing)["user:9"] == [job_id_of(number) for number in (300, 302, 304)]
    assert lanes(queueing)["full:8"] == [job_id_of(303), job_id_of(305)]
    assert told(queueing, job_id_of(303)) == [texts.too_many_waiting()]


def test_a_full_inbox_in_the_middle_refuses_the_rest_in_words_and_then_lets_telegram_keep_them(
    intake: Intake, queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_frontend.intake.SIZE_MAX", 2)
    taken = intake.take_many([written("/balance", number, 10 + number) for number in range(6)])
    assert taken[:4] == [None] * 4
    assert [type(one) for one in taken[4:]] == [IntakeFull, IntakeFull]
    assert told(queueing, job_id_of(3)) == [texts.too_many_in_all()]
    assert queueing.inbox.size() == 4
    queueing.inbox.finish(job_id_of(0))
    taken = intake.take_many([written("/balance", number, 10 + number) for number in range(6)])
    assert [isinstance(one, IntakeFull) for one in taken] == [False] * 5 + [True]


def test_large_updates_go_in_several_steps_and_none_is_lost(intake: Intake, queueing: Queueing) -> None:
    bad = [{"update_id": number, "message": {"text": "\u2603" * 4000, "no": number}} for number in range(100)]
    before = evaluations(queueing.client)
    assert intake.take_many(bad) == [None] * 100
    assert queueing.inbox.size() == 100
    largest = 100 * 8192 / OFFERS_LENGTH_MAX
    assert largest < evaluations(queueing.client) - before < 4 * largest + 2


def test_with_redis_away_none_of_them_is_acknowledged(
    make_intake: MakeIntake, queueing_without_redis: Queueing
) -> None:
    intake = make_intake(queueing_without_redis)
    taken = intake.take_many([written("/balance", number, 10 + number) for number in range(3)])
    assert all(isinstance(one, redis.RedisError) for one in taken)


@pytest.fixture
def robbed(queueing: Queueing, redis_server: EmbeddedRedis) -> Iterator[tuple[Queueing, Any]]:
    """The same Redis behind a relay that swallows an answer once it is armed."""
    with lossy_relay(redis_server.port) as (port, armed):
        address = urlsplit(queueing.redis_url)
        behind = address._replace(netloc=f"{redis_server.login}@127.0.0.1:{port}").geturl()
        with queueing_at(behind) as behind_thief:
            yield behind_thief, armed


def test_a_batch_whose_answer_is_lost_comes_again_and_makes_no_second_job(
    make_intake: MakeIntake, queueing: Queueing, robbed: tuple[Queueing, Any]
) -> None:
    behind_thief, armed = robbed
    intake = make_intake(behind_thief)
    intake.take_many([written("/balance", 1)])
    batch = [written("/balance", 10 + number, 10 + number) for number in range(20)]
    armed.set()
    taken = intake.take_many(batch)
    assert all(isinstance(one, redis.RedisError) for one in taken)
    for _ in range(2):
        assert (queueing.inbox.size(), queueing.client.llen("balances")) == (21, 21)
        assert intake.take_many(batch) == [None] * 20
    for number in range(20):  # as if the grace were over
        queueing.client.zadd("ballast:inbox:due", {job_id_of(10 + number): 0})
    queueing.client.delete("balances")
    rescued = {dispatch.job_id for dispatch in queueing.inbox.rescue(100)[1]}
    assert rescued == {job_id_of(10 + number) for number in range(20)}


def test_redis_killed_in_the_middle_of_a_batch_keeps_all_of_it_or_nothing(
    make_intake: MakeIntake, tmp_path: Path
) -> None:
    moments = random.Random(1)
    server = EmbeddedRedis(tmp_path / "redis", free_port())
    server.start()
    try:
        with queueing_at(server.url) as queueing:
            intake = make_intake(queueing)
            for turn in range(5):
                first = 1000 * turn
                batch = [written("/balance", first + number, 10 + number % 40) for number in range(100)]
                with ThreadPoolExecutor(1) as pool:
                    running = pool.submit(intake.take_many, batch)
                    time.sleep(moments.uniform(0, 0.02))  # the moment of the kill
                    server.kill()
                    was_told = running.result() == [None] * 100
                server.start()
                kept = queueing.inbox.size() - 100 * turn
                assert kept == 100 if was_told else kept in {0, 100}
                assert intake.take_many(batch) == [None] * 100
            expected = {
                f"user:{10 + user}": [
                    job_id_of(1000 * turn + number) for turn in range(5) for number in range(user, 100, 40)
                ]
                for user in range(40)
            }
            assert lanes(queueing) == expected
    finally:
        server.stop()


def test_messages_whose_answer_is_lost_may_have_landed_and_the_next_ones_go_out(
    make_intake: MakeIntake, queueing: Queueing, robbed: tuple[Queueing, Any]
) -> None:
    behind_thief, armed = robbed
    publisher, dispatches = behind_thief.publisher, []
    for receipt in queueing.inbox.accept_many([_offer(number) for number in range(20)]):
        assert receipt.dispatch is not None
        dispatches.append(receipt.dispatch)
    assert publisher.publish(dispatches[0])  # the script is loaded
    queueing.client.delete("balances")
    armed.set()
    assert publisher.publish_many(dispatches) == 0
    assert 1 <= queueing.client.llen("balances") <= 20
    assert publisher.publish_many(dispatches) == 20


def test_a_queue_of_another_release_among_the_messages_keeps_none_of_the_others_back(
    queueing: Queueing,
) -> None:
    offers = [_offer(1), _offer(2, kind="shop.redeem"), _offer(3)]
    dispatches = [
        receipt.dispatch for receipt in queueing.inbox.accept_many(offers) if receipt.dispatch is not None
    ]
    assert queueing.publisher.publish_many(dispatches) == 2
    assert queueing.client.llen("balances") == 2


def test_a_job_in_a_queue_of_another_release_is_recorded_and_left_to_the_rescuer(queueing: Queueing) -> None:
    offers = [_offer(1), _offer(2, kind="shop.redeem"), _offer(3)]
    receipts = queueing.inbox.accept_many(offers, publish=True)
    assert [receipt.status for receipt in receipts] == [Acceptance.ACCEPTED] * 3
    assert [receipt.dispatch is not None for receipt in receipts] == [False, True, False]
    assert messages_in(queueing, "balances") == [offers[0].envelope.job_id, offers[2].envelope.job_id]
    assert not queueing.client.exists("shop")


def test_a_message_that_its_queue_refuses_leaves_the_job_on_record(queueing: Queueing) -> None:
    queueing.client.set("balances", "no list")
    (receipt,) = queueing.inbox.accept_many([_offer(1)], publish=True)
    assert receipt.status is Acceptance.ACCEPTED
    assert receipt.dispatch is not None
    assert queueing.inbox.size() == 1
    assert not queueing.publisher.publish(receipt.dispatch)
    queueing.client.delete("balances")
    assert queueing.publisher.publish(receipt.dispatch)


def test_what_the_inbox_publishes_is_what_the_publisher_would(queueing: Queueing) -> None:
    offer = _offer(1)
    (receipt,) = queueing.inbox.accept_many([offer], publish=True)
    assert receipt.dispatch is None
    queueing.publisher.publish(Dispatch(offer.envelope.job_id, "balances", offer.envelope.kind, "1"))
    theirs, ours = (json.loads(message) for message in queueing.client.lrange("balances", 0, -1))
    assert ours["properties"].pop("delivery_tag") != theirs["properties"].pop("delivery_tag")
    assert ours == theirs
    assert (ours["headers"]["place"], json.loads(ours["body"])[1]["place"]) == ("1", "1")


async def test_requests_that_wait_together_are_recorded_together(intake: Intake, queueing: Queueing) -> None:
    intake.take_many([written("/balance", 1)])
    batcher = Batcher(intake.take_many)
    before = evaluations(queueing.client)
    first = asyncio.create_task(batcher.do(pressed(2, 10)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(batcher.do(pressed(100 + number, 11))) for number in range(60)]
    await asyncio.sleep(0)
    others[7].cancel()  # Telegram hung up
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(answers.pop(8), asyncio.CancelledError)
    assert {type(answer) for answer in answers} == {PressReply}
    assert lanes(queueing)["user:11"] == [job_id_of(100 + number) for number in range(60)]
    assert evaluations(queueing.client) - before <= 4


async def test_requests_that_could_not_be_recorded_each_say_so(
    make_intake: MakeIntake, queueing_without_redis: Queueing
) -> None:
    batcher = Batcher(make_intake(queueing_without_redis).take_many)
    answers = await asyncio.gather(*(batcher.do(pressed(number)) for number in range(5)))
    assert all(isinstance(answer, redis.RedisError) for answer in answers)


_SAID = st.sampled_from(["/balance", "/send", "@carol", "5 tea", "/cancel", "hello", "/help"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.tuples(st.integers(10, 13), _SAID), min_size=1, max_size=25),
    polls=st.lists(st.tuples(st.integers(1, 25), st.integers(0, 10)), min_size=1, max_size=6),
)
def test_polls_of_any_size_that_overlap_make_each_job_once_and_keep_every_persons_order(
    make_intake: MakeIntake,
    queueing: Queueing,
    said: list[tuple[int, str]],
    polls: list[tuple[int, int]],
) -> None:
    """polls -- how many updates a poll hands over, and how many of those come again by the next, as after a crash."""
    updates = [written(text, number, user_id) for number, (user_id, text) in enumerate(said)]

    def recorded() -> dict[str, list[tuple[str, str]]]:
        return {
            lane: [(job_id, envelope_of(queueing, job_id).model_dump_json()) for job_id in ids]
            for lane, ids in lanes(queueing).items()
        }

    queueing.client.flushdb()
    one_by_one = make_intake(queueing)
    for update in updates:
        one_by_one.take_many([update])
    expected = recorded()

    queueing.client.flushdb()
    intake = make_intake(queueing)
    offset = turn = 0
    while offset < len(updates):
        size, again = polls[turn % len(polls)]
        turn += 1
        intake.take_many(updates[offset : offset + size])
        offset = max(offset + size - again, offset + 1)
    assert recorded() == expected
    messages = [job_id for queue in QUEUES for job_id in messages_in(queueing, queue)]
    assert sorted(messages) == sorted(jobs[0][0] for jobs in expected.values())


def _offer(number: int, kind: str = "balances.show") -> Offer:
    fields = {"telegram_id": 7}
    return Offer(Envelope(job_id=job_id_of(number), lane=f"user:{number}", kind=kind, fields=fields))
