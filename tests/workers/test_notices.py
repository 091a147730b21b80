"""What people are told while their command waits for the database."""

from __future__ import annotations

import pytest

from tests.conftest import MakeSettings
from workers.jobs import AskAdjustment, CreateTransfer, DeliverReply, Envelope, Job, ShowBalance, ShowHistory
from workers.notices import queued_notice
from workers.origins import Origin

ASK = AskAdjustment(telegram_id=7, amount=500, admin_id=1001)
SEND = CreateTransfer(telegram_id=7, recipient="@carol", amount=200)


@pytest.mark.parametrize(
    ("job", "chat_id", "promise"),
    [
        (ASK, 1001, "I'll ask you here to confirm it as soon as"),
        (ASK, -100, "I'll ask you in our private chat to confirm it as soon as"),
        (ShowBalance(telegram_id=7), -100, "I'll answer it in our private chat as soon as"),
        (ShowHistory(telegram_id=7), -100, "I'll send them in our private chat as soon as"),
        (SEND, -100, "I'll ask you here to confirm it as soon as"),
    ],
)
def test_a_notice_names_the_chat_that_the_answer_comes_in(
    make_settings: MakeSettings, job: Job, chat_id: int, promise: str
) -> None:
    envelope = Envelope.of(job, job_id="one", lane="one", origin=Origin(chat_id, 1001))
    notice = queued_notice(envelope, make_settings(), paused=False)
    assert notice is not None
    (message,) = DeliverReply.decode(notice.fields).messages
    assert promise in message.text
