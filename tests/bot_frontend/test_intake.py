"""What intake puts on record, on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.broadcasts.albums import Albums
from ballast.builtin.balances import ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.inbox.limits import LANE_LENGTH_MAX
from ballast.process import ownership
from ballast.queueing.envelope import reference_of
from bot_frontend import texts
from bot_frontend.intake import Intake, IntakeFull
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.redis_condition import RedisCondition, RedisTrouble
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, take

DATE = 1_700_000_000
OWNER = "host:1:aa"


def written(text: str, update_id: int = 5, user_id: int = 8) -> dict[str, Any]:
    sender = {"id": user_id, "is_bot": False, "first_name": "Bob", "username": "bob"}
    chat = {"id": user_id, "type": "private"}
    return {
        "update_id": update_id,
        "message": {"message_id": 3, "date": DATE, "chat": chat, "from": sender, "text": text},
    }


class Weather:
    """Whether the database is known to be away, and how Redis is."""

    away = False
    readable = False
    redis = RedisCondition()


@pytest.fixture
def weather() -> Weather:
    return Weather()


@pytest.fixture
def intake(make_settings: MakeSettings, queueing: Queueing, weather: Weather) -> Intake:
    settings = make_settings(telegram_bot_token="123456:LOCAL", redis_url=queueing.redis_url)
    return Intake(
        settings,
        queueing.inbox,
        queueing.publisher,
        Albums(queueing.client),
        lambda: weather.away,
        database_is_readable=lambda: weather.readable,
        redis_condition=lambda: weather.redis,
        claim_redis=lambda: ownership.claim(queueing.client, settings),
    )


def replies(queueing: Queueing, job_id: str) -> list[str]:
    """The texts of a reply job that is on record."""
    claim = queueing.inbox.claim(job_id, OWNER)
    assert claim is not None
    return [message.text for message in DeliverReply.decode(claim.envelope.fields).messages]


def test_an_update_is_on_record_and_published_when_it_is_taken(intake: Intake, queueing: Queueing) -> None:
    take(intake, written("/balance"))
    assert queueing.client.llen("balances") == 1
    claim = queueing.inbox.claim(f"123456-5-{DATE}", OWNER)
    assert claim is not None
    assert ShowBalance.decode(claim.envelope.fields).telegram_id == 8
    assert (claim.envelope.chat_id, claim.envelope.update_id) == (8, 5)


@pytest.mark.parametrize(
    ("text", "chat_type", "taken"),
    [
        ("/balance@other_bot", "supergroup", False),
        ("/balance@Ballast_Bot", "supergroup", True),
        ("/balance", "supergroup", True),
        ("/balance@other_bot", "private", True),
    ],
)
def test_in_a_group_a_command_for_another_bot_is_left_to_it(
    make_settings: MakeSettings, queueing: Queueing, text: str, chat_type: str, taken: bool
) -> None:
    settings = make_settings(telegram_bot_token="123456:LOCAL", redis_url=queueing.redis_url)
    intake = Intake(
        settings,
        queueing.inbox,
        queueing.publisher,
        Albums(queueing.client),
        lambda: False,
        lambda: "ballast_bot",
    )
    update = written(text)
    update["message"]["chat"]["type"] = chat_type
    take(intake, update)
    assert queueing.inbox.size() == taken


@pytest.mark.parametrize("raw", [[], "text", None, 7, {}, {"update_id": True}])
def test_what_is_no_update_at_all_is_kept_for_an_operator(
    intake: Intake, queueing: Queueing, raw: Any
) -> None:
    assert take(intake, raw) is None
    assert queueing.inbox.size() == 1


def test_half_a_character_in_a_name_keeps_nobody_from_their_balance(
    intake: Intake, queueing: Queueing
) -> None:
    update = written("/balance")
    update["message"]["from"]["first_name"] = "Bob\ud800\x00"
    take(intake, update)
    claim = queueing.inbox.claim(f"123456-5-{DATE}", OWNER)
    assert claim is not None
    assert ShowBalance.decode(claim.envelope.fields).first_name == "Bob?"


def test_a_dialogue_goes_on_from_update_to_update(intake: Intake, queueing: Queueing) -> None:
    take(intake, written("/send", 1))
    take(intake, written("@carol", 2))
    take(intake, written("@carol", 2))  # came again: the conversation has not moved twice
    take(intake, written("5 tea", 3))
    for job_id in (f"123456-1-{DATE}", f"123456-2-{DATE}"):
        queueing.inbox.finish(job_id)
    claim = queueing.inbox.claim(f"123456-3-{DATE}", OWNER)
    assert claim is not None
    assert claim.envelope.kind == "transactions.create"
    assert claim.envelope.fields["recipient"] == "@carol"


def test_past_the_bound_of_one_user_the_command_is_refused_in_words(
    intake: Intake, queueing: Queueing
) -> None:
    for number in range(LANE_LENGTH_MAX + 1):
        take(intake, written("/balance", number))
    assert queueing.inbox.size() == LANE_LENGTH_MAX + 1
    assert "too many commands waiting" in replies(queueing, f"123456-{LANE_LENGTH_MAX}-{DATE}")[0]


def test_with_the_database_away_people_are_told_that_they_wait(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    weather.away = True
    take(intake, written("/history"))
    job_id = f"123456-5-{DATE}"
    (told,) = replies(queueing, f"{job_id}-queued")
    assert reference_of(job_id) in told
    assert queueing.inbox.claim(job_id, OWNER) is not None


def test_with_the_database_away_a_known_balance_is_told_with_its_time_and_nothing_waits(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    take(intake, written("/balance", 1))
    queueing.inbox.finish(
        f"123456-1-{DATE}", [BalanceSnapshot(8, "CREDIT", 1450, version=3)], seen_at_ms=1_700_000_000_000
    )
    weather.away = True
    take(intake, written("/balance", 2))
    (told,) = replies(queueing, f"123456-2-{DATE}")
    assert "14.50 CREDIT" in told
    assert told.startswith("On 2023-11-14 at 22:13 UTC your balance was <b>14.50 CREDIT</b>.")
    assert queueing.inbox.size() == 1


def test_what_needs_no_database_is_answered_as_ever(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    weather.away = True
    take(intake, written("/help"))
    assert "/send" in replies(queueing, f"123456-5-{DATE}")[0]
    assert queueing.inbox.size() == 1


def test_what_needs_no_database_does_not_wait_behind_what_does(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    weather.away = True
    take(intake, written("/history", 1))
    take(intake, written("/help", 2))
    assert "/send" in replies(queueing, f"123456-2-{DATE}")[0]


def test_one_user_cannot_fill_the_inbox_by_what_needs_no_database(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    weather.away = True
    for number in range(LANE_LENGTH_MAX + 1):
        take(intake, written("/help", number))
    assert "too many commands waiting" in replies(queueing, f"123456-{LANE_LENGTH_MAX}-{DATE}")[0]
    take(intake, written("/help", LANE_LENGTH_MAX + 1, user_id=9))
    assert "/send" in replies(queueing, f"123456-{LANE_LENGTH_MAX + 1}-{DATE}")[0]


def test_with_room_for_nobody_the_command_is_refused_in_words(
    intake: Intake, queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_frontend.intake.SIZE_MAX", 2)
    for number, user_id in enumerate((7, 8, 9)):
        take(intake, written("/balance", number, user_id))
    (told,) = replies(queueing, f"123456-2-{DATE}")
    assert told == texts.too_many_in_all()
    assert queueing.inbox.size() == 3
    take(intake, written("/balance", 3))
    with pytest.raises(IntakeFull):  # not even the refusal: Telegram keeps the update
        take(intake, written("/balance", 4))


def test_a_full_database_is_still_read(intake: Intake, queueing: Queueing, weather: Weather) -> None:
    weather.away = weather.readable = True
    take(intake, written("/send @carol 5", 1))
    assert replies(queueing, f"123456-1-{DATE}-queued")
    for number, text in enumerate(("/history", "/balance"), start=2):
        take(intake, written(text, number))
        # Not behind the /send, which waits until there is room again.
        claim = queueing.inbox.claim(f"123456-{number}-{DATE}", OWNER)
        assert claim is not None
        assert not claim.envelope.told_to_wait
        assert claim.envelope.kind in {"transactions.history", "balances.show"}
        queueing.inbox.finish(claim.envelope.job_id)


def test_small_talk_in_a_group_makes_no_job(intake: Intake, queueing: Queueing) -> None:
    update = written("hello")
    update["message"]["chat"] = {"id": -100, "type": "group"}
    take(intake, update)
    assert queueing.inbox.size() == 0


@pytest.mark.parametrize("trouble", [RedisTrouble.EVICTING, RedisTrouble.MEMORY_FULL])
def test_what_redis_would_not_keep_is_not_acknowledged(
    intake: Intake, queueing: Queueing, weather: Weather, trouble: RedisTrouble
) -> None:
    weather.redis = RedisCondition((trouble,))
    with pytest.raises(IntakeFull):
        take(intake, written("/balance"))
    assert queueing.inbox.size() == 0
    weather.redis = RedisCondition()
    take(intake, written("/balance"))
    assert queueing.inbox.size() == 1


def test_while_memory_is_short_people_are_refused_in_words(
    intake: Intake, queueing: Queueing, weather: Weather
) -> None:
    weather.redis = RedisCondition((RedisTrouble.MEMORY_SHORT,))
    take(intake, written("/balance"))
    assert replies(queueing, f"123456-5-{DATE}") == [texts.too_many_in_all()]


def test_a_redis_of_another_bot_takes_nothing_of_ours(intake: Intake, queueing: Queueing) -> None:
    queueing.client.set(ownership.KEY, 111)
    with pytest.raises(IntakeFull, match="belongs to bot 111"):
        take(intake, written("/balance"))
    assert queueing.inbox.size() == 0
