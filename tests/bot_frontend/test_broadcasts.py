"""What admins say and press about broadcasts becomes jobs; what others press becomes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ballast.broadcasts.albums import Albums
from ballast.builtin.broadcasts import (
    CardButton,
    CardQuestion,
    ChangeDraft,
    DraftBroadcast,
    ListBroadcasts,
    PressBroadcast,
)
from ballast.builtin.composition import Formatting, LinkButton, Segment
from ballast.builtin.replies import DeliverReply
from ballast.queueing.envelope import Envelope
from bot_frontend.conversation import Conversation, DraftQuestion
from bot_frontend.intake import Intake
from bot_frontend.routed import Routed
from bot_frontend.router import route
from bot_frontend.updates import ButtonPress, Entity, Posting, Sender, TextMessage, read
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, take

ADMIN = Sender(1001, "ada", "Ada")
BOB = Sender(8, "bob", "Bob")


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(admin_ids="1001")


def text(
    words: str, sender: Sender = ADMIN, *, is_private: bool = True, replied_to: Posting | None = None
) -> TextMessage:
    chat_id = sender.telegram_id if is_private else -100
    return TextMessage(5, 1, chat_id, is_private, sender, words, Posting(3), replied_to)


def press(data: str, sender: Sender = ADMIN, chat_id: int | None = None) -> ButtonPress:
    return ButtonPress(5, 1, chat_id or sender.telegram_id, 3, sender, "q", data)


def said(intention: Routed | None) -> str:
    assert intention is not None
    assert isinstance(intention.job, DeliverReply)
    return intention.job.messages[0].text


def asking(asks: CardQuestion) -> Conversation:
    return Conversation(draft=DraftQuestion(broadcast_id=7, asks=asks), asked_by=1)


@pytest.mark.parametrize(
    ("message", "job"),
    [
        (text("/broadcast <b>Hi</b> all"), DraftBroadcast(telegram_id=1001, text="<b>Hi</b> all")),
        (text("/broadcast", replied_to=Posting(9)), DraftBroadcast(telegram_id=1001, message_id=9)),
        (
            text("/broadcast", replied_to=Posting(9, "album")),
            DraftBroadcast(telegram_id=1001, message_id=9, album="album"),
        ),
        (text("/broadcasts"), ListBroadcasts(telegram_id=1001)),
    ],
)
def test_an_admin_draws_up_a_text_or_a_copy(settings: Settings, message: TextMessage, job: object) -> None:
    intention = route(message, None, settings)
    assert intention is not None
    assert intention.job == job


BOLD = Entity("bold", 11, 4)
LINK = Entity("text_link", 16, 5, url="https://e.org")
COMMAND = Entity("bot_command", 0, 10)


@pytest.mark.parametrize(
    ("words", "entities", "drawn_up", "formatted"),
    [
        (  # what the app formatted is kept, and no tag is looked for
            "/broadcast Sale today & 1 < 2",
            (COMMAND, BOLD, LINK),
            "Sale today & 1 < 2",
            (
                {"type": "bold", "offset": 0, "length": 4},
                {"type": "text_link", "offset": 5, "length": 5, "url": "https://e.org"},
            ),
        ),
        (  # 👍 is two units, and a thing that the app finds by itself is no formatting
            "/broadcast 👍👍 <b>@ada</b>",
            (COMMAND, Entity("custom_emoji", 11, 2, custom_emoji_id="5"), Entity("mention", 19, 4)),
            "👍👍 <b>@ada</b>",
            ({"type": "custom_emoji", "offset": 0, "length": 2, "custom_emoji_id": "5"},),
        ),
        (  # what begins before the text, and ends after it, is cut
            "  /broadcast \n Hi all  ",
            (Entity("italic", 0, 23),),
            "Hi all",
            ({"type": "italic", "offset": 0, "length": 6},),
        ),
        (
            "/broadcast Hi Ada",
            (Entity("text_mention", 14, 3, user=ADMIN),),
            "Hi Ada",
            ({"type": "text_mention", "offset": 3, "length": 3, "user_id": 1001},),
        ),
        ("/broadcast 1 < 2 & 3", (COMMAND,), "1 < 2 & 3", ()),
        ("/broadcast <b>Hi</b> @ada", (COMMAND, Entity("mention", 21, 4)), "<b>Hi</b> @ada", None),
    ],
)
def test_a_text_keeps_its_formatting_and_is_html_only_where_it_has_tags_and_none(
    settings: Settings,
    words: str,
    entities: tuple[Entity, ...],
    drawn_up: str,
    formatted: tuple[dict[str, Any], ...] | None,
) -> None:
    intention = route(replace(text(words), entities=entities), None, settings)
    assert intention is not None
    kept = None if formatted is None else tuple(Formatting(**each) for each in formatted)
    assert intention.job == DraftBroadcast(telegram_id=1001, text=drawn_up, entities=kept)
    envelope = Envelope.of(intention.job, job_id="a", lane="b")
    assert DraftBroadcast.decode(envelope.fields) == intention.job


def test_the_links_below_a_message_are_kept_and_its_other_buttons_are_known_to_be_lost(
    settings: Settings,
) -> None:
    message = {
        "message_id": 4,
        "date": 1,
        "chat": {"id": 1001, "type": "private"},
        "from": {"id": 1001, "first_name": "Ada"},
        "text": "/broadcast",
        "entities": [{"type": "bot_command", "offset": 0, "length": 10}],
        "reply_to_message": {
            "message_id": 3,
            "date": 1,
            "chat": {"id": 1001, "type": "private"},
            "reply_markup": {
                "inline_keyboard": [
                    [{"text": "Shop", "url": "https://e.org"}, {"text": "More", "callback_data": "x"}],
                    [{"text": "Share", "switch_inline_query": ""}],
                ]
            },
        },
    }
    reading = read({"update_id": 5, "message": message})
    assert isinstance(reading, TextMessage)
    assert reading.entities == (COMMAND,)
    intention = route(reading, None, settings)
    assert intention is not None
    assert intention.job == DraftBroadcast(
        telegram_id=1001,
        message_id=3,
        buttons=((LinkButton(text="Shop", url="https://e.org"),),),
        buttons_lost=True,
    )


def test_a_broadcast_of_nothing_and_one_in_a_group_are_explained(settings: Settings) -> None:
    assert "Reply /broadcast" in said(route(text("/broadcast"), None, settings))
    assert "private chat" in said(route(text("/broadcast x", is_private=False), None, settings))


@pytest.mark.parametrize("words", ["/broadcast hello", "/broadcasts"])
def test_to_others_broadcasts_do_not_exist(settings: Settings, words: str) -> None:
    assert "do not know" in said(route(text(words, BOB), None, settings))
    assert "/broadcast" not in said(route(text("/help", BOB), None, settings))


@pytest.mark.parametrize("data", ["b:7:go:0123abcd", "b:7:pause", "b:7:stop", "b:7:active"])
@pytest.mark.parametrize(("sender", "chat_id"), [(BOB, None), (BOB, 1001), (ADMIN, -100)])
def test_a_strangers_press_is_refused(
    settings: Settings, data: str, sender: Sender, chat_id: int | None
) -> None:
    refused = route(press(data, sender, chat_id), None, settings)
    assert "Only admins can do that" in said(refused)
    assert refused is not None
    assert refused.conversation is None


def test_an_admins_press_becomes_its_job_and_keeps_the_dialogue(settings: Settings) -> None:
    intention = route(press("b:7:go:0123abcd"), asking(CardQuestion.IDS), settings)
    assert intention is not None
    assert intention.job == PressBroadcast(
        broadcast_id=7, telegram_id=1001, what=CardButton.GO, shown="0123abcd"
    )
    assert intention.conversation == asking(CardQuestion.IDS)


@pytest.mark.parametrize(
    "data", ["b:0:go", "b:7:", "b:7:nonsense", "b:x:go", "b:7:go:xyz", "b:" + "9" * 30 + ":go"]
)
def test_an_unknown_button_of_a_card_says_so(settings: Settings, data: str) -> None:
    assert "This button no longer works" in said(route(press(data), None, settings))


@pytest.mark.parametrize(
    ("asks", "words", "change"),
    [
        (CardQuestion.ACTIVE, "30", {"segment": Segment(active_days=30)}),
        (CardQuestion.BALANCE, "5,50", {"segment": Segment(balance_min=550)}),
        (CardQuestion.LANGUAGE, "pt-br", {"segment": Segment(language="pt-br")}),
        (CardQuestion.STARS, "500", {"stars_max": 500}),
    ],
)
def test_what_a_card_asks_is_answered_in_words(
    settings: Settings, asks: CardQuestion, words: str, change: dict[str, Any]
) -> None:
    asked = route(press(f"b:7:{asks}"), None, settings)
    assert "/cancel" in said(asked)
    assert asked is not None
    assert asked.conversation is not None
    intention = route(text(words), asked.conversation, settings)
    assert intention is not None
    assert intention.job == ChangeDraft(broadcast_id=7, telegram_id=1001, **change)
    assert intention.conversation is None


def test_ids_may_come_in_several_messages_and_anything_else_ends_them(settings: Settings) -> None:
    conversation: Conversation | None = asking(CardQuestion.IDS)
    for words, ids in (("1 2,3\n4", (1, 2, 3, 4)), ("5", (5,))):
        intention = route(text(words), conversation, settings)
        assert intention is not None
        assert intention.job == ChangeDraft(
            broadcast_id=7, telegram_id=1001, segment=Segment(telegram_ids=ids)
        )
        conversation = intention.conversation
    ended = route(text("thanks"), conversation, settings)
    assert "number" not in said(ended)
    assert ended is not None
    assert ended.conversation is None


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("2026-12-01 18:00 Europe/Berlin", "2026-12-01T18:00:00+01:00"),
        ("2026-07-01 9:05 Europe/Berlin", "2026-07-01T09:05:00+02:00"),
        ("2026-12-01T18:00", "2026-12-01T18:00:00+00:00"),
    ],
)
def test_a_time_is_read_by_the_clocks_of_its_place(settings: Settings, words: str, moment: str) -> None:
    intention = route(text(words), asking(CardQuestion.TIME), settings)
    assert intention is not None
    assert isinstance(intention.job, ChangeDraft)
    assert intention.job.scheduled_for is not None
    assert intention.job.scheduled_for.isoformat() == moment


def test_a_time_without_a_place_is_by_the_clocks_that_the_question_names(make_settings: MakeSettings) -> None:
    settings = make_settings(timezone="Europe/Berlin", admin_ids="1001")
    asked = route(press(f"b:7:{CardQuestion.TIME}"), None, settings)
    assert "without a time zone it is Europe/Berlin" in said(asked)
    intention = route(text("2026-12-01 18:00"), asking(CardQuestion.TIME), settings)
    assert intention is not None
    assert isinstance(intention.job, ChangeDraft)
    assert intention.job.scheduled_for is not None
    assert intention.job.scheduled_for.isoformat() == "2026-12-01T18:00:00+01:00"


def test_a_time_that_is_past_by_a_minute_is_still_taken(settings: Settings) -> None:
    on_time = route(text("1969-12-31 23:59"), asking(CardQuestion.TIME), settings)
    assert on_time is not None
    late = route(text("1969-12-31 23:58"), asking(CardQuestion.TIME), settings)
    assert "a time to come, and it is 1970-01-01 00:00 UTC" in said(late)


def test_quiet_hours_are_read_with_their_zone(settings: Settings) -> None:
    intention = route(text("22:00-8:00 Europe/Berlin"), asking(CardQuestion.QUIET), settings)
    assert intention is not None
    assert isinstance(intention.job, ChangeDraft)
    assert intention.job.quiet_hours is not None
    assert intention.job.quiet_hours.model_dump() == {
        "begin": "22:00",
        "end": "08:00",
        "zone": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (CardQuestion.ACTIVE, "0"),
        (CardQuestion.ACTIVE, "<b>a few</b>"),
        (CardQuestion.BALANCE, "-5"),
        (CardQuestion.LANGUAGE, "klingon!"),
        (CardQuestion.IDS, ""),
        (CardQuestion.IDS, "1 bob"),
        (CardQuestion.TIME, "tomorrow"),
        (CardQuestion.TIME, "2026-13-01 18:00"),
        (CardQuestion.TIME, "2026-12-01 18:00 Berlin/Europe"),
        (CardQuestion.TIME, "1969-12-31 23:58"),
        (CardQuestion.QUIET, "at night"),
        (CardQuestion.QUIET, "22:00-22:00"),
        (CardQuestion.QUIET, "22:00-08:00 Europe"),
        (CardQuestion.STARS, "99999999999"),
    ],
)
def test_a_wrong_answer_is_corrected_and_asked_again_with_its_question(
    settings: Settings, asks: CardQuestion, words: str
) -> None:
    again = route(text(words), asking(asks), settings)
    assert "/cancel" in said(again)
    assert again is not None
    assert again.conversation is not None
    assert again.conversation.draft == DraftQuestion(broadcast_id=7, asks=asks)


def test_who_is_no_admin_any_more_answers_nothing(settings: Settings) -> None:
    refused = route(text("30", BOB), asking(CardQuestion.ACTIVE), settings)
    assert "Only admins can do that" in said(refused)
    assert refused is not None
    assert refused.conversation is None


def test_the_pieces_of_an_admins_album_are_noted_and_not_answered(
    make_settings: MakeSettings, queueing: Queueing
) -> None:
    albums = Albums(queueing.client)
    settings = make_settings(
        telegram_bot_token="123456:LOCAL", redis_url=queueing.redis_url, admin_ids="1001"
    )
    intake = Intake(settings, queueing.inbox, queueing.publisher, albums, lambda: False)
    for sender in (1001, 8):
        for number in (11, 12, 13):
            take(
                intake,
                {
                    "update_id": sender * 100 + number,
                    "message": {
                        "message_id": number,
                        "date": 1_700_000_000,
                        "chat": {"id": sender, "type": "private"},
                        "from": {"id": sender, "is_bot": False, "first_name": "A"},
                        "media_group_id": "trip",
                        "photo": [],
                    },
                },
            )
    assert albums.with_piece(1001, "trip", 12) == (11, 12, 13)
    assert albums.with_piece(8, "trip", 12) == (12,)
    assert albums.with_piece(1001, "other", 5) == (5,)
    assert queueing.client.zcard("ballast:inbox:all") == 3  # the stranger's alone


def test_an_album_has_ten_pieces_at_most_and_the_one_replied_to(queueing: Queueing) -> None:
    albums = Albums(queueing.client)
    for number in range(20):
        albums.note(1001, "trip", number)
    assert albums.with_piece(1001, "trip", 19) == (*range(9), 19)
