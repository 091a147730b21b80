"""What a handler can ask, and which answer becomes which field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_validator

from ballast import Amount, App, Ask, Job, UsageError
from ballast.apps.installed import INSTALLED
from ballast.apps.questions import JobQuestion, dialogue_of
from ballast.arguments import ArgumentsRefused
from ballast.asking import answer_as_json, given_as_json, missing_fields
from ballast.builtin.replies import DeliverReply
from ballast.chat.origins import Origin
from ballast.queueing.kinds import JOB_TYPES
from bot_frontend import app_questions
from bot_frontend.conversation import CommandQuestion, Conversation
from bot_frontend.router import route
from bot_frontend.updates import Sender, TextMessage
from dbcore.settings import Settings
from tests.conftest import MakeSettings


class Book(Job, kind="shop.book"):
    telegram_id: int
    room: str
    day: date
    price: Amount = Field(description="what you pay")
    nights: int = Field(ge=1)
    note: str = ""

    @model_validator(mode="after")
    def _affordable(self) -> Book:
        if self.price < 1000 * self.nights:
            raise ValueError("That is not enough for so many nights")
        return self


class Gift(BaseModel):
    whom: str


GIVEN = {"room": "7", "day": date(2026, 12, 1)}


@pytest.fixture
def settings(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(INSTALLED.jobs, Book.kind, Book)
    monkeypatch.setitem(JOB_TYPES, Book.kind, Book)
    return make_settings()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ask(" ", Book), "expected a question"),
        (lambda: Ask("<" * 251, Book), "up to 1,000 characters as HTML"),
        (lambda: Ask("?", Book(telegram_id=1, **GIVEN, price=9000, nights=1)), "the class of a Job"),  # type: ignore[arg-type]
        (lambda: Ask("?", Book, {"rum": "7"}), "expected fields of Book .*, got 'rum'"),
        (
            lambda: Ask("?", Book, {**GIVEN, "price": 1, "nights": 1}),
            "expected a field of Book that has no default and is not given",
        ),
        (lambda: Ask("?", Book, choices="yes"), "up to 20 choices"),
        (lambda: Ask("?", Book, choices=["x"] * 21), "up to 20 choices"),
        (lambda: Ask("?", Book, choices=["x" * 61]), "choices of 1 to 60 characters, got"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Callable[[], Ask], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_the_persons_own_id_is_never_asked_for_and_never_anybody_elses() -> None:
    ask = Ask("Which room?", Book, {"telegram_id": 666})
    assert ask.asks == "room"
    assert missing_fields(Book, {}) == ["room", "day", "price", "nights"]
    assert dialogue_of(ask, job_id="a", user_id=7, origin=Origin(7, 7)).job.given == {"telegram_id": 7}


def test_what_is_given_is_checked_when_it_is_asked_and_not_quoted() -> None:
    assert given_as_json(Book, GIVEN) == {"room": "7", "day": "2026-12-01"}
    with pytest.raises(UsageError, match="Book cannot have what is given as nights, room") as refused:
        given_as_json(Book, {"room": 7, "nights": "hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UsageError, match="up to 16,384 characters"):
        dialogue_of(Ask("?", Book, {"room": "x" * 20_000}), job_id="a", user_id=7, origin=Origin(7, 7))


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [("room", "7 b", "7 b"), ("day", "2026-12-01", "2026-12-01"), ("price", "5.50", 550), ("nights", "2", 2)],
)
def test_an_answer_becomes_what_the_field_is(name: str, text: str, answer: Any) -> None:
    assert answer_as_json(Book, name, text, exponent=2, currency="CREDIT") == answer


def test_answers_make_the_job_and_what_fits_no_field_or_the_whole_is_asked_again(settings: Settings) -> None:
    asked: Any = dialogue_of(
        Ask("When?", Book, {"room": "7"}), job_id="a", user_id=7, origin=Origin(7, 7)
    ).job
    for text, expected in (("2026-12-01", "PRICE, please: what you pay"), ("20", "NIGHTS, please")):
        asked = app_questions.after_answer(asked, text, settings)
        assert isinstance(asked, JobQuestion)
        assert asked.question.startswith(expected)
    for text, said in (
        ("0", "NIGHTS: I expected greater than"),
        ("3", "That is not enough for so many nights."),
    ):
        with pytest.raises(ArgumentsRefused, match=said):
            app_questions.after_answer(asked, text, settings)
    assert app_questions.after_answer(asked, "2", settings) == Book(
        telegram_id=7, room="7", day=date(2026, 12, 1), price=2000, nights=2
    )
    assert not app_questions.is_known(asked.model_copy(update={"asks": "gone"}))


def test_a_photo_is_no_answer_and_is_asked_for_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = App("shop")
    shop.command("gift", help="Give", arguments=Gift)(lambda ctx, args: None)
    monkeypatch.setitem(INSTALLED.commands, "gift", shop.commands[0])
    photo = TextMessage(5, 1, 7, True, Sender(7, None, "Gil"), text="")
    asked = dialogue_of(Ask("Which room?", Book), job_id="a", user_id=7, origin=Origin(7, 7)).job
    for conversation, said in (
        (Conversation(job=asked, asked_by=1), "I expected a text message. Which room? Send /cancel to stop."),
        (
            Conversation(command=CommandQuestion(command="gift", asks="whom", given={}), asked_by=1),
            "I expected a text message. WHOM, please. Send /cancel to stop.",
        ),
    ):
        intention = route(photo, conversation, settings)
        assert intention is not None
        assert isinstance(intention.job, DeliverReply)
        assert intention.job.messages[0].text == said
        assert intention.conversation == conversation.model_copy(update={"asked_by": 5})
