from __future__ import annotations

import json
import threading
import time

import pytest
import redis

from ballast.builtin.balances import ShowBalance
from ballast.inbox import Acceptance, DialogueStep, Dispatch, Inbox, Receipt
from ballast.inbox.limits import (
    APP_QUESTION_TTL_SECONDS,
    DIALOGUE_TTL_SECONDS,
    LANE_LENGTH_MAX,
    UNKNOWN_KIND_SECONDS,
)
from ballast.queueing import queue_pauses
from ballast.queueing.envelope import Envelope
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.redis_client import redis_time

OWNER, OTHER = "host:1:aa", "host:2:bb"


def envelope(job_id: str, lane: str = "user:7") -> Envelope:
    return Envelope.of(ShowBalance(telegram_id=7), job_id=job_id, lane=lane, chat_id=7)


def make_due(client: redis.Redis, job_id: str) -> None:
    """As if the time until the rescuer looks at the job were over."""
    client.zadd("ballast:inbox:due", {job_id: 0})


def let_time_pass(client: redis.Redis, job_id: str, seconds: int = 60) -> None:
    """The job was taken earlier and, where it is in a queue, has been there for longer."""
    client.zincrby("ballast:inbox:all", -1000 * seconds, job_id)
    if client.hexists(f"ballast:inbox:job:{job_id}", "ready_at"):
        client.hincrby(f"ballast:inbox:job:{job_id}", "ready_at", -1000 * seconds)


def silence(client: redis.Redis, owner: str) -> None:
    """As if the process had not beaten for an hour."""
    client.zadd("ballast:inbox:owners", {owner: 0})


def test_an_accepted_job_is_handed_out_for_publishing(inbox: Inbox) -> None:
    assert inbox.accept(envelope("a")) == Receipt(
        Acceptance.ACCEPTED, Dispatch("a", "balances", "balances.show", sequence="1")
    )
    assert inbox.size() == 1


def test_the_same_update_again_makes_no_second_job(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    assert inbox.accept(envelope("a")) == Receipt(Acceptance.KNOWN)
    assert inbox.size() == 1


def test_an_update_recorded_but_perhaps_not_published_is_left_to_the_rescuer(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    assert inbox.accept(envelope("a")) == Receipt(Acceptance.KNOWN)
    make_due(client, "a")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]


def test_the_same_update_after_its_answer_does_nothing(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    inbox.finish("a")
    assert inbox.accept(envelope("a")) == Receipt(Acceptance.DONE)
    assert inbox.size() == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_job_that_may_have_had_an_effect_is_not_answered_as_one_that_had_none(
    inbox: Inbox, begun: bool
) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    assert inbox.answer("a", "[]", unless_begun=True) is None  # it is under way
    inbox.release("a", OWNER, delay_seconds=60, count_delivery=False, begun=begun)
    assert (inbox.answer("a", "[]", unless_begun=True) is None) is begun
    assert (inbox.answer("a", "[]") is None) is not begun  # answered before, where it was not begun


def test_a_job_knows_how_often_it_raised_and_whether_an_effect_may_stand(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    first = inbox.claim("a", OWNER)
    assert first is not None
    assert (first.tries, first.begun) == (0, False)
    inbox.release("a", OWNER, delay_seconds=0, tries=1, begun=True, count_delivery=False)
    second = inbox.claim("a", OWNER)
    assert second is not None
    assert (second.tries, second.begun, second.deliveries) == (1, True, 1)
    inbox.leave(OWNER)  # it died: what it did may stand
    inbox.accept(envelope("b", lane="user:8"))
    inbox.claim("b", OWNER)
    inbox.leave(OWNER)
    third = inbox.claim("b", OTHER)
    assert third is not None
    assert third.begun


def test_yesterdays_update_is_still_known(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    inbox.finish("a")
    (today,) = (str(key, "ascii") for key in client.keys("ballast:inbox:done:*") if isinstance(key, bytes))
    day = int(today.rsplit(":", 1)[1])
    client.rename(today, f"ballast:inbox:done:{day - 1}")
    assert inbox.accept(envelope("a")).status is Acceptance.DONE
    client.rename(f"ballast:inbox:done:{day - 1}", f"ballast:inbox:done:{day - 2}")
    assert inbox.accept(envelope("a")).status is Acceptance.ACCEPTED


def test_one_job_of_a_user_is_in_flight_and_the_next_follows_in_order(inbox: Inbox) -> None:
    assert inbox.accept(envelope("a")).dispatch is not None
    assert inbox.accept(envelope("b")).dispatch is None
    assert inbox.accept(envelope("c")).dispatch is None
    assert inbox.claim("b", OWNER) is None
    assert inbox.claim("a", OWNER) is not None
    following = inbox.finish("a").following
    assert following is not None
    assert following.job_id == "b"
    assert inbox.claim("c", OWNER) is None
    assert inbox.claim("b", OWNER) is not None


def queued(job_id: str) -> Envelope:
    return envelope(job_id, lane="outbox:7")


def do(inbox: Inbox, *job_ids: str) -> str | None:
    """Do these jobs, each handed out by the end of the one before. Returns the one that is handed out then."""
    following = None
    for job_id in job_ids:
        assert following in {None, job_id}
        assert inbox.claim(job_id, OWNER) is not None
        dispatch = inbox.finish(job_id).following
        following = None if dispatch is None else dispatch.job_id
    return following


def test_what_a_job_queues_comes_right_after_it_and_before_what_its_user_wrote_meanwhile(
    inbox: Inbox,
) -> None:
    for command in ("a", "b"):
        inbox.accept(envelope(command))
    assert inbox.claim("a", OWNER) is not None
    for job_id in ("a1", "a2"):
        assert inbox.accept(queued(job_id), after="a").dispatch is None
    assert inbox.accept(queued("of somebody else's job"), after="z").dispatch is None
    inbox.finish("a")
    assert inbox.claim("a1", OWNER) is not None
    assert inbox.accept(queued("a1x"), after="a1").dispatch is None
    assert inbox.accept(queued("a2"), after="a").status is Acceptance.KNOWN
    inbox.finish("a1")
    assert do(inbox, "a1x", "a2", "b", "of somebody else's job") is None


def test_what_a_job_queues_has_room_in_a_lane_that_is_full(inbox: Inbox) -> None:
    for number in range(LANE_LENGTH_MAX):
        inbox.accept(envelope(str(number)))
    assert inbox.accept(queued("from elsewhere")).status is Acceptance.FULL
    assert inbox.claim("0", OWNER) is not None
    receipts = [inbox.accept(queued(f"of-{number}"), after="0") for number in range(2 * LANE_LENGTH_MAX + 1)]
    assert [receipt.status for receipt in receipts[:-1]] == [Acceptance.ACCEPTED] * 2 * LANE_LENGTH_MAX
    assert receipts[-1].status is Acceptance.FULL


def test_a_queued_job_that_is_to_be_done_later_holds_up_no_command_and_is_overtaken_by_no_queued_job(
    inbox: Inbox, client: redis.Redis
) -> None:
    for command in ("a", "b", "c"):
        inbox.accept(envelope(command))
    assert inbox.claim("a", OWNER) is not None
    for job_id in ("a1", "a2"):
        inbox.accept(queued(job_id), after="a")
    inbox.finish("a")
    assert inbox.claim("a1", OWNER) is not None
    assert inbox.release("a1", OWNER, delay_seconds=60, later=True)
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["b"]
    assert inbox.claim("b", OWNER) is not None
    inbox.accept(queued("b1"), after="b")
    inbox.finish("b")
    assert do(inbox, "c") is None
    make_due(client, "a1")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a1"]
    assert do(inbox, "a1", "a2", "b1") is None


def test_a_command_that_waits_for_what_it_queued_does_not_wait_for_ever(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    assert inbox.claim("a", OWNER) is not None
    inbox.accept(queued("a1"), after="a")
    assert inbox.release("a", OWNER, delay_seconds=60, later=True)
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a1"]


def test_a_job_that_is_put_off_has_its_place_from_when_its_time_has_come(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    assert inbox.claim("a", OWNER) is not None
    for _ in range(2):
        inbox.accept(queued("a1"), after="a", delay_seconds=3600)
    inbox.finish("a")
    inbox.accept(envelope("b"))
    assert inbox.rescue(10, shut=["balances"])[1] == []
    assert inbox.size() == 2
    assert (client.zscore("ballast:inbox:due", "a1") or 0) > time.time() * 1000 + 3_500_000
    make_due(client, "a1")
    assert "a1" not in {dispatch.job_id for dispatch in inbox.rescue(10)[1]}
    inbox.accept(envelope("c"))
    assert do(inbox, "b", "a1", "c") is None
    assert client.keys("ballast:inbox:lane:*") == []


def test_users_do_not_wait_for_each_other(inbox: Inbox) -> None:
    inbox.accept(envelope("a", lane="user:7"))
    assert inbox.accept(envelope("b", lane="user:8")).dispatch is not None


def test_a_second_copy_of_a_message_finds_the_job_held(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert claim.envelope == envelope("a")
    assert claim.deliveries == 1
    assert inbox.claim("a", OTHER) is None
    assert inbox.claim("a", OWNER) is None


def test_only_one_of_many_claims_at_once_wins(inbox: Inbox, redis_url: str) -> None:
    inbox.accept(envelope("a"))
    wins = []

    def compete(owner: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            if Inbox(client).claim("a", owner) is not None:
                wins.append(owner)

    threads = [threading.Thread(target=compete, args=(f"o{n}",)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1


def test_the_jobs_of_a_dead_process_are_published_again(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    inbox.beat(OWNER, {})
    inbox.beat(OTHER, {})
    inbox.claim("a", OWNER)
    assert inbox.rescue(10)[1] == []
    silence(client, OWNER)
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]
    second = inbox.claim("a", OTHER)
    assert second is not None
    assert second.deliveries == 2


def test_a_long_job_of_a_living_process_stays_its_own(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    inbox.beat(OWNER, {})
    inbox.claim("a", OWNER)
    make_due(client, "a")
    assert inbox.rescue(10)[1] == []
    assert inbox.claim("a", OTHER) is None


def test_a_process_that_wakes_after_its_job_was_given_away_cannot_give_it_back(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    inbox.beat(OWNER, {})
    inbox.beat(OTHER, {})
    inbox.claim("a", OWNER)
    silence(client, OWNER)
    inbox.rescue(10)
    inbox.claim("a", OTHER)
    assert not inbox.release("a", OWNER, delay_seconds=0)
    assert inbox.claim("a", OWNER) is None


def test_a_message_that_fell_out_of_an_empty_queue_is_published_again(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    assert inbox.rescue(10)[1] == []
    make_due(client, "a")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]


def test_a_job_that_waits_in_a_long_queue_gets_no_second_copy(inbox: Inbox, client: redis.Redis) -> None:
    for number in range(50):
        inbox.accept(envelope(f"j{number}", lane=f"user:{number}"))
        client.lpush("balances", f"message {number}")
        make_due(client, f"j{number}")
    assert inbox.rescue(100)[1] == []
    assert inbox.rescue(100)[1] == []


def test_a_job_far_back_in_its_queue_is_looked_at_again_when_its_turn_may_come(
    inbox: Inbox, client: redis.Redis
) -> None:
    client.hset("ballast:inbox:sequence", "balances", 4_000)
    inbox.accept(envelope("far"))
    client.lpush("balances", "message")
    for claimed, seconds in ((0, 6.001), (3_500, 2.501), (4_000, 2.001)):
        client.hset("ballast:inbox:claimed", "balances", claimed)
        make_due(client, "far")
        before = redis_time(client)
        assert inbox.rescue(10) == (1, [])
        due_ms = client.zscore("ballast:inbox:due", "far")
        assert due_ms is not None
        assert before + seconds - 0.01 <= due_ms / 1000 <= redis_time(client) + seconds


def test_a_job_overtaken_by_a_later_one_fell_out_however_long_the_queue(
    inbox: Inbox, client: redis.Redis
) -> None:
    for number in range(3):
        inbox.accept(envelope(f"j{number}", lane=f"user:{number}"))
    client.lpush("balances", "message 2", "more")
    inbox.claim("j1", OWNER, queue="balances", sequence="2")
    for number in (0, 2):
        make_due(client, f"j{number}")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["j0"]


def test_a_released_job_keeps_its_answer_and_goes_on_as_a_reply(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    inbox.note_sent("a", 1)
    assert inbox.release("a", OWNER, delay_seconds=60, reply="[1,2]", count_delivery=False)
    assert inbox.rescue(10)[1] == []
    make_due(client, "a")
    _, (dispatch,) = inbox.rescue(10)
    assert (dispatch.queue, dispatch.kind) == ("replies", "replies.deliver")
    claim = inbox.claim("a", OTHER)
    assert claim is not None
    assert (claim.reply, claim.sent, claim.deliveries) == ("[1,2]", 1, 1)


def test_the_balances_of_a_job_whose_answer_waits_are_known_at_once(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)

    def keep_answer(owner: str) -> bool:
        seen = [BalanceSnapshot(7, "CREDIT", 500, version=2)]
        return inbox.release(
            "a", owner, delay_seconds=60, reply="[]", uncertain=0, balances=seen, seen_at_ms=1_700_000_060_999
        )

    assert not keep_answer(OTHER)
    assert inbox.balances.last(7, "CREDIT") is None
    assert keep_answer(OWNER)
    assert inbox.balances.last(7, "CREDIT") == (500, 1_700_000_060)


def test_a_job_published_twice_makes_none_of_those_between_look_lost(
    inbox: Inbox, client: redis.Redis
) -> None:
    for number in range(20):
        inbox.accept(envelope(f"j{number}", lane=f"user:{number}"))
        client.lpush("balances", f"message {number}")
    make_due(client, "j0")
    client.delete(
        "balances"
    )  # as if it were empty for a moment: the rescuer publishes j0 once more, behind the others
    _, (again,) = inbox.rescue(10)
    assert again.sequence == "21"
    client.lpush("balances", *(f"message {number}" for number in range(20)))
    assert inbox.claim("j0", OWNER, queue="balances", sequence="1") is not None  # by its first message
    for number in range(1, 20):
        make_due(client, f"j{number}")
    assert inbox.rescue(100) == (19, [])


def test_after_redis_stood_still_nobody_is_taken_for_dead_at_once(inbox: Inbox, client: redis.Redis) -> None:
    for owner, job_id in ((OWNER, "a"), (OTHER, "b")):
        inbox.accept(envelope(job_id, lane=job_id))
        inbox.beat(owner, {})
        inbox.claim(job_id, owner)
        silence(client, owner)
    assert inbox.rescue(10)[1] == []
    inbox.beat(OWNER, {})
    assert inbox.rescue(10)[1] == []
    client.delete("ballast:inbox:grace")  # its time is over, and the other has not been heard of since
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["b"]


def test_a_job_that_ends_leaves_the_balances_it_saw(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    seen = [BalanceSnapshot(7, "CREDIT", 1_000, version=5), BalanceSnapshot(8, "CREDIT", 500, version=2)]
    inbox.finish("a", seen, seen_at_ms=1_700_000_060_999)
    assert inbox.balances.last(7, "CREDIT") == (1_000, 1_700_000_060)
    assert inbox.balances.last(8, "CREDIT") == (500, 1_700_000_060)


def test_a_record_that_cannot_be_read_is_claimed_as_a_failure(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    client.hset("ballast:inbox:job:a", "envelope", '{"kind": 5}')
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert claim.failure is not None
    assert claim.failure.startswith("unreadable record: ")
    assert claim.envelope.job_id == "a"


def test_a_field_that_a_newer_release_writes_is_passed_over(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    written = json.loads(client.hget("ballast:inbox:job:a", "envelope") or "")
    client.hset("ballast:inbox:job:a", "envelope", json.dumps(written | {"of_tomorrow": 1}))
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert claim.failure is None
    assert claim.envelope == envelope("a")


def test_a_notice_is_handed_to_the_answer_or_to_the_finish_or_is_untrue(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    assert inbox.notice_of("a") is None
    assert inbox.awaits_notice("a")
    assert inbox.awaiting_notice(["a", "gone"]) == {"a"}
    assert inbox.note_notice("a", 77)
    assert not inbox.awaits_notice("a")
    assert inbox.notice_of("a") == 77
    assert inbox.finish("a").notice == 77
    assert not inbox.note_notice("a", 78)


def test_a_notice_goes_on_to_the_job_that_its_own_queued(inbox: Inbox) -> None:
    inbox.accept(envelope("press"))
    inbox.claim("press", OWNER)
    inbox.note_notice("press", 55)
    inbox.pass_notice("press", "done by now")
    inbox.accept(queued("job"), after="press")
    inbox.pass_notice("press", "job")
    assert inbox.finish("press").notice is None
    claim = inbox.claim("job", OWNER)
    assert claim is not None
    assert claim.envelope.told_to_wait
    assert inbox.finish("job").notice == 55


def test_a_process_that_leaves_gives_back_what_it_holds_at_once(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.beat(OWNER, {"pid": 1})
    inbox.claim("a", OWNER)
    inbox.leave(OWNER)
    assert inbox.processes() == {}
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]


def test_a_beat_tells_a_process_what_it_holds(inbox: Inbox) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    assert inbox.beat(OWNER, {"pid": 5}) == {"a"}
    (report,) = inbox.processes().values()
    assert report["pid"] == 5


@pytest.mark.parametrize("waiting", [LANE_LENGTH_MAX - 1, LANE_LENGTH_MAX])
def test_a_lane_takes_up_to_its_bound_and_refuses_past_it(inbox: Inbox, waiting: int) -> None:
    for number in range(waiting):
        assert inbox.accept(envelope(f"j{number}")).status is Acceptance.ACCEPTED
    expected = Acceptance.ACCEPTED if waiting < LANE_LENGTH_MAX else Acceptance.FULL
    assert inbox.accept(envelope("last")).status is expected


def test_a_dialogue_changes_with_its_job_or_not_at_all(inbox: Inbox) -> None:
    key = "ballast:dialogue:7:7"
    assert inbox.accept(envelope("a"), dialogue=DialogueStep(key, None, "one")).status is Acceptance.ACCEPTED
    assert inbox.dialogues([key]) == {key: "one"}
    conflict = inbox.accept(envelope("b"), dialogue=DialogueStep(key, None, "two"))
    assert conflict == Receipt(Acceptance.CONFLICT, dialogue="one")
    assert inbox.dialogues([key]) == {key: "one"}
    assert inbox.size() == 1
    assert inbox.accept(envelope("a"), dialogue=DialogueStep(key, "one", "again")).status is Acceptance.KNOWN
    assert inbox.dialogues([key]) == {key: "one"}
    assert inbox.accept(envelope("b"), dialogue=DialogueStep(key, "one", None)).status is Acceptance.ACCEPTED
    assert inbox.dialogues([key]) == {key: None}


def test_a_job_that_runs_again_does_not_ask_what_is_answered_by_now(inbox: Inbox) -> None:
    key = "ballast:dialogue:7:7"
    inbox.accept(envelope("a"))
    assert not inbox.ask("a", "other", key, "asked")
    assert inbox.claim("a", "me") is not None
    assert inbox.ask("a", "me", key, "asked")
    assert (
        inbox.accept(envelope("b"), dialogue=DialogueStep(key, "asked", None)).status is Acceptance.ACCEPTED
    )
    assert inbox.release("a", "me", delay_seconds=0)
    assert inbox.claim("a", "me") is not None
    assert not inbox.ask("a", "me", key, "asked")
    assert inbox.dialogues([key]) == {key: None}


def test_a_dialogue_is_kept_for_as_long_as_it_says(inbox: Inbox, client: redis.Redis) -> None:
    key = "ballast:dialogue:7:7"
    inbox.accept(envelope("a"), dialogue=DialogueStep(key, None, "one"))
    assert client.ttl(key) <= DIALOGUE_TTL_SECONDS
    inbox.accept(envelope("b"), dialogue=DialogueStep(key, "one", "one", APP_QUESTION_TTL_SECONDS))
    assert client.ttl(key) > DIALOGUE_TTL_SECONDS


def test_nothing_is_left_in_redis_of_a_finished_job_but_its_id(inbox: Inbox, client: redis.Redis) -> None:
    inbox.accept(envelope("a"))
    inbox.claim("a", OWNER)
    inbox.finish("a")
    inbox.leave(OWNER)
    today = int(client.time()[0]) // 86_400
    left = {str(key, "ascii").removesuffix(f":{today}") for key in client.keys("*") if isinstance(key, bytes)}
    left -= {"ballast:pace", "ballast:pace:chat:7"}  # its answer's turn; the latter is gone after a second
    assert left <= {"ballast:inbox:done", "ballast:inbox:sequence", "ballast:inbox:claimed", "ballast:totals"}
    assert client.zcard("ballast:inbox:due") == 0


def test_a_callers_key_stands_for_the_arguments_it_came_with_first(inbox: Inbox) -> None:
    assert inbox.binds("refund-42", "aa")
    assert inbox.binds("refund-42", "aa")
    assert not inbox.binds("refund-42", "bb")
    assert inbox.binds("refund-43", "bb")


# --- kinds and queues that this release does not have


def unknown(job_id: str, kind: str = "shop.redeem") -> Envelope:
    return Envelope(job_id=job_id, lane="user:7", kind=kind, fields={}, chat_id=7)


def test_an_unknown_kind_waits_for_workers_that_know_it_and_then_fails(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(unknown("a", "balances.newfangled"))
    assert inbox.unknown_kind("a", "balances.newfangled") is None
    assert inbox.rescue(10)[1] == []  # not at once again
    make_due(client, "a")
    (again,) = inbox.rescue(10)[1]
    assert (again.queue, again.kind) == ("balances", "balances.newfangled")
    client.hincrby("ballast:inbox:job:a", "unknown_since", -1000 * UNKNOWN_KIND_SECONDS)
    dispatch = inbox.unknown_kind("a", "balances.newfangled")
    assert dispatch is not None
    assert (dispatch.queue, dispatch.kind) == ("users", "users.quarantine")
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert claim.envelope.kind == "balances.newfangled"
    assert claim.failure is not None
    assert "no worker knows" in claim.failure


def test_a_worker_that_knows_the_kind_does_the_job_within_the_grace(inbox: Inbox) -> None:
    inbox.accept(unknown("a"))
    inbox.unknown_kind("a", "shop.redeem")
    claim = inbox.claim("a", OWNER)
    assert claim is not None
    assert claim.failure is None
    assert inbox.unknown_kind("a", "shop.redeem") is None  # a late copy, at another worker


def test_a_job_in_a_queue_that_nobody_works_on_is_looked_at_however_long_the_queue(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(unknown("a"))
    client.lpush("shop", "its message")
    make_due(client, "a")
    (dispatch,) = inbox.rescue(10)[1]
    assert dispatch.queue == "shop"


def test_a_task_that_is_no_job_on_record_is_nobody_s_unknown_kind(inbox: Inbox) -> None:
    assert inbox.unknown_kind("a-typing-error", "balances.ajust") is None
    assert inbox.size() == 0


def test_a_job_in_the_replies_queue_is_run_by_its_own_kind(inbox: Inbox) -> None:
    dispatch = inbox.accept(unknown("a", "replies.referrals")).dispatch
    assert dispatch is not None
    assert (dispatch.queue, dispatch.kind) == ("replies", "replies.referrals")


def test_a_job_that_no_worker_takes_is_overdue_also_where_it_is_published_again(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    assert inbox.overdue(None) is None
    let_time_pass(client, "a")
    make_due(client, "a")
    assert [dispatch.job_id for dispatch in inbox.rescue(10)[1]] == ["a"]
    overdue = inbox.overdue(None)
    assert overdue is not None
    assert (60 <= overdue.seconds < 120, overdue.queue) == (True, "balances")


def test_a_job_in_a_queue_that_an_operator_paused_is_overdue_only_long_after_its_end(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(envelope("a"))
    queue_pauses.pause(client, "balances", "nadia")
    let_time_pass(client, "a")
    assert inbox.overdue(None) is None
    queue_pauses.resume(client, "balances")
    assert inbox.overdue(None) is None
    client.hincrby("ballast:queues:resumed", "balances", -3_600_000)
    assert inbox.overdue(None) is not None


def test_a_job_that_is_being_done_is_not_overdue_nor_is_what_follows_it(
    inbox: Inbox, client: redis.Redis
) -> None:
    """Such as a report of a large broadcast."""
    for job_id in ("a", "b"):
        inbox.accept(envelope(job_id))
        let_time_pass(client, job_id)
    inbox.beat(OWNER, {})
    inbox.claim("a", OWNER)
    assert inbox.overdue(None) is None
    inbox.finish("a")
    assert inbox.overdue(None) is None


def test_a_job_that_is_tried_again_later_is_overdue_from_when_it_is_in_a_queue_again(
    inbox: Inbox, client: redis.Redis
) -> None:
    """One that was too slow, one whose chat Telegram refused for a while, and one whose process died."""
    inbox.accept(envelope("a"))
    let_time_pass(client, "a")
    inbox.claim("a", OWNER)
    inbox.release("a", OWNER, delay_seconds=60)
    make_due(client, "a")
    assert len(inbox.rescue(10)[1]) == 1
    assert inbox.overdue(None) is None
    let_time_pass(client, "a")
    assert inbox.overdue(None) is not None
    inbox.beat(OTHER, {})
    inbox.beat(OWNER, {})
    inbox.claim("a", OWNER)
    silence(client, OWNER)
    assert len(inbox.rescue(10)[1]) == 1
    assert inbox.overdue(None) is None


def test_a_job_of_an_unknown_kind_is_not_overdue_each_time_it_is_published(
    inbox: Inbox, client: redis.Redis
) -> None:
    inbox.accept(unknown("a"))
    let_time_pass(client, "a")
    assert inbox.unknown_kind("a", "shop.redeem") is None
    make_due(client, "a")
    assert len(inbox.rescue(10)[1]) == 1
    assert inbox.overdue(None) is None


@pytest.mark.parametrize("queue_length", [0, 1])
def test_what_was_held_back_is_overdue_from_when_it_no_longer_is(
    inbox: Inbox, client: redis.Redis, queue_length: int
) -> None:
    """Also where its first message is still in the queue."""
    inbox.accept(envelope("a"))
    let_time_pass(client, "a")
    make_due(client, "a")
    assert inbox.rescue(10, shut=["balances"])[1] == []
    if queue_length:
        client.rpush("balances", "{}")
    assert inbox.overdue(None) is None
    assert len(inbox.rescue(10)[1]) == 1 - queue_length
    assert inbox.overdue(None) is None
    let_time_pass(client, "a")
    assert inbox.overdue(None) is not None
