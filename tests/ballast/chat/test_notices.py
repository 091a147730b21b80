"""What people are told while their command waits for the database."""

from __future__ import annotations

import re

import pytest

from ballast.builtin.balances import AdjustBalance, AskAdjustment, ShowBalance
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CancelTransfers, CreateTransfer, DecideTransfer, ShowHistory
from ballast.chat.notices import late_notice, queued_notice
from ballast.chat.origins import Origin
from ballast.jobs import Job
from ballast.messages import Message
from ballast.queueing.envelope import Envelope
from dbcore.settings import Settings
from tests.conftest import MakeSettings

ASK = AskAdjustment(telegram_id=7, amount=500, admin_id=1001)
SEND = CreateTransfer(telegram_id=7, recipient="@carol", amount=200)


@pytest.mark.parametrize(
    ("job", "chat_id", "promise"),
    [
        (ASK, 1001, "I'll ask you here to confirm it as soon as"),
        (ASK, -100, "I'll answer you in our private chat as soon as"),
        (ShowBalance(telegram_id=7), -100, "I'll answer it in our private chat as soon as"),
        (ShowHistory(telegram_id=7), -100, "I'll send them in our private chat as soon as"),
        (SEND, -100, "I'll ask you here to confirm it as soon as"),
        (CancelTransfers(telegram_id=7), -100, "I'll write to you in our private chat as soon as"),
    ],
)
def test_a_notice_names_the_chat_that_the_answer_comes_in(
    make_settings: MakeSettings, job: Job, chat_id: int, promise: str
) -> None:
    for told in notices(job, chat_id, make_settings()):
        assert promise in told[-1].text


def notices(job: Job, chat_id: int, settings: Settings) -> list[tuple[Message, ...]]:
    """Of an outage, and of an answer that takes long."""
    envelope = Envelope.of(job, job_id="one", lane="one", origin=Origin(chat_id, 1001))
    queued = queued_notice(envelope, settings, paused=False)
    assert queued is not None
    return [DeliverReply.decode(queued.fields).messages, late_notice(envelope, settings)]


@pytest.mark.parametrize(
    "job",
    [ASK, AdjustBalance(username="eve", amount=-50_000, reason="bonus"), SEND],
    ids=lambda job: job.kind,
)
def test_a_notice_tells_a_group_no_amount_and_no_name(make_settings: MakeSettings, job: Job) -> None:
    for *in_private, in_group in notices(job, -100, make_settings()):
        assert in_group.chat_id == -100
        assert not any(word in in_group.text for word in ("CREDIT", "eve", "carol", "7", ".00"))
        for message in in_private:
            assert message.chat_id == 1001
            assert re.search(
                r"Your (credit|debit) of [\d.]+ CREDIT (to|from) (@eve|7) is saved", message.text
            )
        assert len(in_private) == (0 if job is SEND else 1), "a transfer's card is for the group to read"


def test_presses_on_one_card_are_said_to_be_saved_once(make_settings: MakeSettings) -> None:
    def notice_of(number: int, *, token: str = "card", asker_id: int = 7, confirm: bool = True) -> str:  # noqa: S107
        job = DecideTransfer(telegram_id=asker_id, token=token, confirm=confirm)
        envelope = Envelope.of(job, job_id=f"press-{number}", lane="one", origin=Origin(7, asker_id))
        notice = queued_notice(envelope, make_settings(), paused=False)
        assert notice is not None
        return notice.job_id

    first = notice_of(1)
    assert (notice_of(2), notice_of(3, confirm=False)) == (first, first)
    assert first not in {notice_of(4, token="other"), notice_of(5, asker_id=8)}
