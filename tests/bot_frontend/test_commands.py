from __future__ import annotations

import re
import secrets
from typing import Any

import pytest
from pydantic import SecretStr

from ballast.builtin.balances import AskAdjustment, DecideAdjustment, ShowBalance
from ballast.builtin.broadcasts import CardQuestion, ChooseBroadcasts
from ballast.builtin.operators import SignIn
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, DecideTransfer, ShowHistory
from ballast.builtin.users import GetOrCreateUser
from bot_frontend.conversation import CommandQuestion, Conversation, DraftQuestion
from bot_frontend.routed import Routed
from bot_frontend.router import route
from bot_frontend.updates import ButtonPress, Sender, TextMessage
from dbcore.ledger.pending_transfers import TOKEN_BYTES
from dbcore.settings import Settings
from tests.conftest import MakeSettings
from workers.texts import transfer_buttons

TOKEN = "abc-123_DEF-0123"
ADMIN = Sender(1001, "ada", "Ada")
BOB = Sender(8, "bob", "Bob")


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings(admin_ids="1001")


def text(words: str, sender: Sender = BOB, *, update_id: int = 5, is_private: bool = True) -> TextMessage:
    return TextMessage(update_id, 1, sender.telegram_id if is_private else -100, is_private, sender, words)


def press(data: str, sender: Sender = BOB) -> ButtonPress:
    return ButtonPress(5, 1, 8, 3, sender, "q", data)


def said(intention: Routed | None) -> str:
    assert intention is not None
    assert isinstance(intention.job, DeliverReply)
    return intention.job.messages[0].text


@pytest.mark.parametrize(
    ("command", "job_type"),
    [
        ("/start", GetOrCreateUser),
        ("/start deep-link", GetOrCreateUser),
        ("/balance", ShowBalance),
        ("/BALANCE", ShowBalance),
        ("/balance@ballast_bot", ShowBalance),
        ("/history", ShowHistory),
    ],
)
def test_a_command_becomes_its_job_on_behalf_of_the_sender(
    settings: Settings, command: str, job_type: type[Any]
) -> None:
    intention = route(text(command), None, settings)
    assert intention is not None
    assert isinstance(intention.job, job_type)
    assert (intention.job.telegram_id, intention.job.username, intention.job.first_name) == (8, "bob", "Bob")


@pytest.mark.parametrize(("command", "wanted"), [("/stop", False), ("/resume", True)])
def test_stop_and_resume_choose_whether_broadcasts_come(
    settings: Settings, command: str, wanted: bool
) -> None:
    intention = route(text(command), None, settings)
    assert intention is not None
    assert intention.job == ChooseBroadcasts(telegram_id=8, username="bob", first_name="Bob", wanted=wanted)
    assert "Stop receiving broadcasts" in said(route(text("/help"), None, settings))


def test_send_with_everything_asks_nothing(settings: Settings) -> None:
    intention = route(text("/send  @carol   5,50  for  lunch "), None, settings)
    assert intention is not None
    assert isinstance(intention.job, CreateTransfer)
    assert (intention.job.recipient, intention.job.amount, intention.job.memo) == (
        "@carol",
        550,
        "for lunch",
    )
    assert intention.conversation is None


def test_send_asks_for_what_is_missing_one_by_one(settings: Settings) -> None:
    first = route(text("/send", update_id=1), None, settings)
    assert "Who do you want" in said(first)
    assert first is not None
    second = route(text("@carol", update_id=2), first.conversation, settings)
    assert "How much" in said(second)
    assert second is not None
    third = route(text("7 coffee", update_id=3), second.conversation, settings)
    assert third is not None
    assert isinstance(third.job, CreateTransfer)
    assert (third.job.recipient, third.job.amount, third.job.memo) == ("@carol", 700, "coffee")
    assert third.conversation is None


def test_send_with_a_recipient_asks_only_for_the_amount(settings: Settings) -> None:
    assert "How much" in said(route(text("/send 12345"), None, settings))


def test_a_wrong_answer_is_corrected_and_asked_again(settings: Settings) -> None:
    asked = Conversation(recipient="@carol", asked_by=1)
    again = route(text("a lot", update_id=2), asked, settings)
    assert "How much" in said(again)
    assert again is not None
    assert again.conversation == Conversation(recipient="@carol", asked_by=2)


def test_cancel_leaves_the_dialogue(settings: Settings) -> None:
    left = route(text("/cancel"), Conversation(asked_by=1), settings)
    assert said(left) == "Cancelled. No money was sent."
    assert left is not None
    assert left.conversation is None


def test_cancel_of_a_question_that_is_not_of_send_says_nothing_of_money(settings: Settings) -> None:
    draft = DraftQuestion(broadcast_id=1, asks=CardQuestion.LANGUAGE)
    command = CommandQuestion(command="book", asks="room", given={})
    for asked in (Conversation(asked_by=1, draft=draft), Conversation(asked_by=1, command=command)):
        assert said(route(text("/cancel", ADMIN), asked, settings)) == "Cancelled."


def test_cancel_outside_a_dialogue_cancels_what_waits_for_confirm(settings: Settings) -> None:
    intention = route(text("/cancel"), None, settings)
    assert intention is not None
    assert intention.job == CancelTransfers(telegram_id=8, username="bob", first_name="Bob")


@pytest.mark.parametrize("command", ["/balance", "/history", "/help", "/blance"])
def test_who_looks_something_up_in_a_dialogue_is_still_asked(settings: Settings, command: str) -> None:
    asked = Conversation(recipient="@carol", asked_by=1)
    intention = route(text(command), asked, settings)
    assert intention is not None
    assert intention.conversation == asked


@pytest.mark.parametrize("command", ["/start", "/cancel", "/send @carol 5"])
def test_who_begins_anew_or_cancels_is_asked_no_more(settings: Settings, command: str) -> None:
    intention = route(text(command), Conversation(recipient="@carol", asked_by=1), settings)
    assert intention is not None
    assert intention.conversation is None


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1e9", "NaN", "5.555", "99999999999999999", "five", "", "+5", "1.000.50"]
)
def test_each_wrong_amount_gets_a_sentence_and_moves_nothing(settings: Settings, amount: str) -> None:
    assert len(said(route(text(f"/send @carol {amount}"), None, settings))) > 20


def test_admins_credit_and_debit(settings: Settings) -> None:
    credit = route(text("/credit @carol 5 gift", ADMIN), None, settings)
    assert credit is not None
    assert credit.job == AskAdjustment(username="carol", amount=500, reason="gift", admin_id=1001)
    debit = route(text("/debit 12345 0.5", ADMIN), None, settings)
    assert debit is not None
    assert debit.job == AskAdjustment(telegram_id=12345, amount=-50, admin_id=1001)


def test_only_admins_decide_adjustments(settings: Settings) -> None:
    for data, confirm in (("ac:abc-123", True), ("ax:abc-123", False)):
        pressed = route(press(data, ADMIN), None, settings)
        assert pressed is not None
        assert isinstance(pressed.job, DecideAdjustment)
        assert (pressed.job.token, pressed.job.confirm, pressed.job.telegram_id) == ("abc-123", confirm, 1001)
        assert "Only admins can do that" in said(route(press(data), None, settings))


def test_a_reason_and_a_memo_are_taken_as_one_line(settings: Settings) -> None:
    credit = route(text("/credit @carol 5 x\nfor\u202e you", ADMIN), None, settings)
    assert credit is not None
    assert isinstance(credit.job, AskAdjustment)
    assert credit.job.reason == "x for you"
    send = route(text("/send @carol 5 x\nYour balance is 9"), None, settings)
    assert send is not None
    assert isinstance(send.job, CreateTransfer)
    assert send.job.memo == "x Your balance is 9"


@pytest.mark.parametrize("command", ["/credit @bob 1000000", "/debit @carol 5"])
def test_to_others_the_admin_commands_do_not_exist(settings: Settings, command: str) -> None:
    assert "do not know" in said(route(text(command), None, settings))
    assert "/credit" not in said(route(text("/help"), None, settings))
    assert "/credit" in said(route(text("/help", ADMIN), None, settings))


@pytest.mark.parametrize("command", ["/credit", "/credit @bob", "/debit @bob x"])
def test_an_incomplete_admin_command_is_explained(settings: Settings, command: str) -> None:
    assert "Write it like this" in said(route(text(command, ADMIN), None, settings))


def test_buttons_become_jobs_of_whoever_pressed(settings: Settings) -> None:
    confirm = route(press(f"c:{TOKEN}-8"), None, settings)
    assert confirm is not None
    assert isinstance(confirm.job, DecideTransfer)
    assert (confirm.job.token, confirm.job.confirm, confirm.job.telegram_id) == (TOKEN, True, 8)
    cancel = route(press("x:abc-123"), None, settings)
    assert cancel is not None
    assert isinstance(cancel.job, DecideTransfer)
    assert not cancel.job.confirm
    page = route(press("h:8:16"), None, settings)
    assert page is not None
    assert isinstance(page.job, ShowHistory)
    assert (page.job.owner_telegram_id, page.job.upto_version, page.job.telegram_id) == (8, 16, 8)


def test_a_new_card_is_known_to_the_frontend_of_the_release_before() -> None:
    """Workers are updated before it, and are handed what it makes of the data."""
    for token in (TOKEN, "abcdefghijkl-123", secrets.token_urlsafe(TOKEN_BYTES)):
        for data in (button.data for row in transfer_buttons(token, 8) for button in row):
            before = re.fullmatch(r"(?P<decision>[cx]):(?P<token>[\w-]{1,60})", data or "")
            assert before is not None
            for taken in (token, before["token"]):
                fields = {"telegram_id": 8, "token": taken, "confirm": True}
                assert DecideTransfer.decode(fields).token == token
                assert DecideAdjustment.decode(fields).token == token


@pytest.mark.parametrize("data", ["c:abc", "x:abc", "ac:abc", "ax:abc", "c:abcdefghijkl-123"])
def test_a_card_of_the_release_before_goes_to_a_worker_whoever_presses_it(
    settings: Settings, data: str
) -> None:
    intention = route(press(data, ADMIN), None, settings)
    assert intention is not None
    assert isinstance(intention.job, DecideTransfer | DecideAdjustment)


def test_an_admins_card_is_for_that_admin_alone(settings: Settings) -> None:
    for data, owner in ((f"ac:{TOKEN}", 1001), (f"ax:{TOKEN}", 1001)):
        own = route(press(f"{data}-{owner}", ADMIN), None, settings)
        assert own is not None
        assert isinstance(own.job, DecideAdjustment)
        assert "another admin" in said(route(press(f"{data}-1002", ADMIN), None, settings))


@pytest.mark.parametrize("data", ["z:1", "h:9:16", "b:1:go", "b:1:time", f"c:{TOKEN}-9", f"ac:{TOKEN}-8"])
def test_a_foreign_or_unknown_button_is_answered_to_its_presser_and_sends_nothing(
    settings: Settings, data: str
) -> None:
    intention = route(press(data), None, settings)
    assert intention is not None
    assert isinstance(intention.job, DeliverReply)
    assert [(message.toast, message.matters) for message in intention.job.messages] == [("q", False)]


@pytest.mark.parametrize(
    "data", ["", "c:", "c:" + "a" * 61, "c:abc:", "c:abc:8", "h:9:0", "h:9:-1", "z:1", "c:a b"]
)
def test_an_unknown_button_says_so(settings: Settings, data: str) -> None:
    assert "This button no longer works" in said(route(press(data), None, settings))


def test_a_press_does_not_end_the_dialogue(settings: Settings) -> None:
    asked = Conversation(recipient="@carol", asked_by=1)
    intention = route(press("c:abc"), asked, settings)
    assert intention is not None
    assert intention.conversation == asked


def test_a_question_of_an_app_that_is_gone_is_no_question_of_the_built_in_command_it_replaced(
    settings: Settings,
) -> None:
    asked = Conversation(command=CommandQuestion(command="send", asks="amount", given={}), asked_by=1)
    assert "commands" in said(route(text("5"), asked, settings))


def test_small_talk_is_answered_in_private_alone(settings: Settings) -> None:
    assert "commands" in said(route(text("hello"), None, settings))
    assert route(text("hello", is_private=False), None, settings) is None


def test_without_a_token_nobody_gets_a_code_that_signs_nobody_in(settings: Settings) -> None:
    without = settings.model_copy(update={"ops_token": None})
    assert "OPS_TOKEN is not set" in said(route(text("/signin", ADMIN), None, without))
    with_token = settings.model_copy(update={"ops_token": SecretStr("0123456789abcdef")})
    routed = route(text("/signin", ADMIN), None, with_token)
    assert routed is not None and isinstance(routed.job, SignIn)
