"""A broadcast's card: asked for often it is edited seldom, and it says what is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from ballast.broadcasts import card
from ballast.broadcasts.cards import CARD_SECONDS, VIEW_SECONDS, Cards, View
from ballast.broadcasts.lanes import Lanes
from ballast.messages import Button
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, queueing_at

ALBUM = {"copy": {"chat_id": 1001, "message_ids": [1, 2, 3]}}
SETTINGS = Settings()
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def broadcast(**changes: Any) -> Broadcast:
    fields: dict[str, Any] = {
        "id": 7,
        "idempotency_key": "k",
        "status": BroadcastStatus.DRAFT,
        "payload": {"text": "Hello"},
        "segment": {},
        "actor": "telegram:1001",
        "paid": False,
        "stars_max": None,
        "canary": 20,
        "scheduled_for": None,
        "quiet_hours": None,
        "audience": None,
        "sent": 0,
        "blocked": 0,
        "failed": 0,
        "unknown": 0,
        "halted_reason": None,
        "admin_chat_id": 1001,
        "card_message_id": 5,
        "run": 0,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
        "by_program": False,
    }
    return Broadcast(**{**fields, **changes})


def sending(**changes: Any) -> Broadcast:
    known = {
        "status": BroadcastStatus.SENDING,
        "audience": 1_000,
        "sent": 400,
        "blocked": 50,
        "started_at": NOW,
    }
    return broadcast(**{**known, **changes})


def labels(rows: card.Rows) -> list[str]:
    return [button.text for row in rows for button in row]


@pytest.fixture
def lanes(queueing: Queueing) -> Lanes:
    return Lanes(queueing.client, queueing.inbox, queueing.publisher)


@pytest.fixture
def queueing(redis_url: str) -> Any:
    with queueing_at(redis_url) as ready:
        yield ready


def test_however_often_a_card_is_asked_for_one_edit_waits(lanes: Lanes, queueing: Queueing) -> None:
    for _ in range(300):
        lanes.show_card(7)
    assert queueing.inbox.size() == 1
    lanes.cards.begin_turn(7)  # the edit under way has read how it stands: a later change needs another
    for _ in range(300):
        lanes.show_card(7)
    assert queueing.inbox.size() == 2


def test_two_admins_who_ask_for_a_card_at_once_get_one_each(lanes: Lanes, queueing: Queueing) -> None:
    for admin in (1001, 1002, 1001):
        lanes.show_card(7, anew_in=admin)
    assert queueing.inbox.size() == 2


def test_without_redis_a_card_is_skipped_and_the_sending_goes_on() -> None:
    with queueing_at("redis://127.0.0.1:1/0") as away:
        Lanes(away.client, away.inbox, away.publisher).show_card(7, at_once=True)


def test_between_two_edits_there_are_three_seconds_unless_an_admin_waits(client: redis.Redis) -> None:
    cards = Cards(client)
    assert cards.seconds_to_wait(7, at_once=False) == 0
    assert 0 < cards.seconds_to_wait(7, at_once=False) <= CARD_SECONDS
    assert cards.seconds_to_wait(8, at_once=False) == 0
    assert cards.seconds_to_wait(7, at_once=True) == 0
    assert cards.seconds_to_wait(7, at_once=False) > 0
    assert CARD_SECONDS >= 3


def test_a_question_that_nobody_answers_is_taken_back(client: redis.Redis) -> None:
    cards = Cards(client)
    assert cards.view(7) is View.MAIN
    cards.turn_to(7, View.CANCEL)
    assert cards.view(7) is View.CANCEL
    assert 0 < client.ttl("ballast:broadcast:card:7") <= VIEW_SECONDS
    cards.turn_to(7, View.MAIN)
    assert cards.view(7) is View.MAIN


def test_the_rate_is_measured_over_what_all_processes_showed(client: redis.Redis) -> None:
    assert Cards(client).measured_rate(7, 10) is None
    seconds, _ = client.time()
    client.delete("ballast:broadcast:seen:7")
    client.rpush("ballast:broadcast:seen:7", f"{seconds - 40} 0", f"{seconds - 10} 100")
    rate = Cards(client).measured_rate(7, 400)
    assert rate is not None
    assert 20 < rate <= 30


def test_a_draft_says_whom_it_reaches_when_how_long_and_for_what(make_settings: MakeSettings) -> None:
    settings = make_settings()
    plain = card.draft_text(broadcast(), 1_000, 30.0, settings)
    assert "everybody" in plain
    assert "<b>1,000 people</b>" in plain
    assert "Takes about 33 s, free." in plain
    narrowed = card.draft_text(
        broadcast(
            segment={"active_days": 30, "balance_min": 550, "language": "de", "telegram_ids": [1, 2]},
            paid=True,
            stars_max=100,
            scheduled_for=NOW,
            quiet_hours={"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"},
        ),
        1_000,
        990.0,
        settings,
    )
    for part in (
        "seen within 30 days and a balance of 5.50 CREDIT or more and language de and in a list of 2",
        "When: 2026-12-01 12:00 UTC",
        "Quiet: 22:00–08:00 Europe/Berlin",
        "at most 100 Stars (you allow 100)",
    ):
        assert part in narrowed


def test_of_one_the_card_speaks_in_the_singular(make_settings: MakeSettings) -> None:
    one = broadcast(segment={"active_days": 1}, paid=True, stars_max=1)
    shown = card.draft_text(one, 1, 990.0, make_settings())
    for part in ("seen within 1 day\n", "That is <b>1 person</b> now.", "at most 1 Star (you allow 1)."):
        assert part in shown
    two_stars = card.draft_text(one, 11, 990.0, make_settings())
    assert "at most 2 Stars" in two_stars


def test_progress_is_a_bar_the_counts_the_rate_and_the_time_that_is_left() -> None:
    shown = card.progress_text(sending(), 27.5, None, SETTINGS)
    assert "███████░░░░░░░░░ 45%" in shown
    assert "450 of 1,000" in shown
    assert "sent 400 · blocked 50 · failed 0 · unknown 0" in shown
    assert "27.5/s, 20 s left" in shown
    assert "goes on 2026-12-01 12:00 UTC" in card.progress_text(sending(), 27.5, NOW, SETTINGS)
    in_tokyo = Settings(timezone="Asia/Tokyo")
    assert "goes on 2026-12-01 21:00 Asia/Tokyo" in card.progress_text(sending(), 27.5, NOW, in_tokyo)
    halted = sending(status=BroadcastStatus.HALTED, halted_reason="can't parse <b>")
    assert "can't parse &lt;b&gt;" in card.progress_text(halted, None, None, SETTINGS)
    over = sending(status=BroadcastStatus.FINISHED, sent=950, finished_at=NOW + timedelta(minutes=3))
    assert "100%" in card.progress_text(over, None, None, SETTINGS)
    assert "Over after 3 min." in card.progress_text(over, None, None, SETTINGS)


@pytest.mark.parametrize(
    ("shown", "view", "expected"),
    [
        (broadcast(), View.MAIN, ["To whom…", "When…", "Pay for speed…", "Confirm", "Discard"]),
        (
            broadcast(),
            View.SEGMENT,
            ["Everybody", "Active…", "Balance…", "Language…", "List of ids…", "Back"],
        ),
        (broadcast(payload=ALBUM), View.MAIN, ["To whom…", "When…", "Confirm", "Discard"]),
        (broadcast(paid=True), View.CANCEL, ["To whom…", "When…", "Send free", "Confirm", "Discard"]),
        (sending(), View.SEGMENT, ["Pause", "Cancel"]),
        (sending(), View.CANCEL, ["Yes, cancel permanently", "No"]),
        (sending(status=BroadcastStatus.PAUSED), View.MAIN, ["Resume", "Cancel"]),
        (sending(status=BroadcastStatus.HALTED, halted_reason="x"), View.MAIN, ["Resume", "Cancel"]),
        (
            sending(status=BroadcastStatus.FINISHED, finished_at=NOW),
            View.CANCEL,
            ["Report", "Delete what was sent…"],
        ),
        (
            sending(status=BroadcastStatus.FINISHED, finished_at=NOW),
            View.ERASE,
            ["Yes, delete it from all chats", "No"],
        ),
        (sending(status=BroadcastStatus.FINISHED, finished_at=NOW, sent=0), View.MAIN, ["Report"]),
        (broadcast(status=BroadcastStatus.CANCELLED, finished_at=NOW), View.MAIN, []),
    ],
)
def test_a_card_has_the_buttons_of_its_state(shown: Broadcast, view: View, expected: list[str]) -> None:
    assert labels(card.buttons(shown, view)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"segment": {"language": "de"}},
        {"payload": {"text": "Bye"}},
        {"paid": True},
        {"stars_max": 5},
        {"scheduled_for": NOW},
        {"quiet_hours": {"begin": "22:00", "end": "08:00", "zone": "UTC"}},
    ],
)
def test_a_confirmation_is_of_what_was_shown_and_of_nothing_else(change: dict[str, Any]) -> None:
    assert card.fingerprint(broadcast(**change)) != card.fingerprint(broadcast())
    assert card.fingerprint(broadcast(created_at=NOW + timedelta(1))) == card.fingerprint(broadcast())


def test_the_longest_of_buttons_fits_telegrams_64_bytes() -> None:
    for view in View:
        for row in card.buttons(broadcast(id=10**17), view):
            for button in row:
                assert isinstance(button, Button)
                assert len(button.data.encode()) <= 64


def test_the_list_has_a_line_and_a_button_each() -> None:
    newest = [
        broadcast(id=8, payload={"copy": {"chat_id": 1, "message_ids": [1]}}),
        sending(payload={"text": "<b>"}),
    ]
    assert card.list_text(newest).splitlines() == [
        "<b>8</b> 2026-12-01 · draft · a copied message",
        "<b>7</b> 2026-12-01 · sending · 450 of 1,000, sent 400 · <code>&lt;b&gt;</code>",
    ]
    assert labels(card.list_buttons(newest)) == ["8", "7"]
    over = sending(id=6, status=BroadcastStatus.FINISHED, finished_at=NOW)
    assert labels(card.list_buttons([*newest, over]))[-1] == "Delete what was sent of 6…"
    assert "no broadcasts yet" in card.list_text([])
