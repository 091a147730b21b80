"""Payments on their way in: never lost, never small talk; and the question before one, answered beside everything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ballast.broadcasts.albums import Albums
from ballast.builtin import star_invoices
from ballast.builtin.payments import RecordPayment, RecordStarReport
from ballast.builtin.replies import DeliverReply
from ballast.builtin.star_invoices import StarInvoice
from ballast.builtin.subscriptions import RecordRenewal
from ballast.inbox.limits import LANE_LENGTH_MAX, SIZE_MAX
from ballast.queueing.envelope import Envelope
from ballast.telegram.bot import make_bot
from ballast.telegram.presses import Presses
from ballast.telegram.rate_limiter import RateLimiter
from bot_frontend.callbacks import CallbackAnswers
from bot_frontend.checkouts import Checkouts
from bot_frontend.intake import Intake
from bot_frontend.intake_health import Receiver
from bot_frontend.polling import Poller
from devstack.ports import free_port
from devstack.stack import TOKEN
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.conftest import MakeSettings
from tests.harness.queueing import Queueing, fill_inbox, take

DATE = 1_700_000_000
OWNER = "host:1:aa"


PAID = {
    "currency": "XTR",
    "total_amount": 100,
    "invoice_payload": "order 7",
    "telegram_payment_charge_id": "charge-1",
    "provider_payment_charge_id": "",
    "subscription_expiration_date": DATE + 5,
}


def payment(kind: str = "successful_payment", update_id: int = 5, **message: Any) -> dict[str, Any]:
    return {
        "update_id": update_id,
        "message": {
            "message_id": 3,
            "date": DATE,
            "chat": {"id": 8, "type": "private"},
            "from": {"id": 8, "is_bot": False, "first_name": "Bob"},
            kind: PAID,
            **message,
        },
    }


@pytest.fixture
def intake(make_settings: MakeSettings, queueing: Queueing) -> Intake:
    settings = make_settings(telegram_bot_token=TOKEN, redis_url=queueing.redis_url)
    return Intake(settings, queueing.inbox, queueing.publisher, Albums(queueing.client), lambda: False)


def taken(queueing: Queueing, update_id: int = 5) -> Envelope:
    claim = queueing.inbox.claim(f"123456-{update_id}-{DATE}", OWNER)
    assert claim is not None
    return claim.envelope


@pytest.mark.parametrize(
    ("kind", "event"), [("successful_payment", "paid"), ("refunded_payment", "refunded")]
)
def test_a_payment_is_no_small_talk(intake: Intake, queueing: Queueing, kind: str, event: str) -> None:
    take(intake, payment(kind, text="thanks"))
    job = RecordPayment.decode(taken(queueing).fields)
    assert (job.event, job.telegram_id, job.charge_id, job.amount) == (event, 8, "charge-1", 100)
    assert job.details["subscription_expiration_date"] == DATE + 5


def test_a_refund_belongs_to_the_payer_and_not_to_the_bot_that_says_it(
    intake: Intake, queueing: Queueing
) -> None:
    """Telegram sends a refund's message in the name of the bot itself."""
    our_bot = {"id": 123456, "is_bot": True, "first_name": "Ballast", "username": "ballast_bot"}
    refund = payment("refunded_payment")
    refund["message"]["from"] = our_bot
    take(intake, refund)
    envelope = taken(queueing)
    job = RecordPayment.decode(envelope.fields)
    assert (job.event, job.telegram_id, job.username, job.first_name) == ("refunded", 8, None, "")
    assert (envelope.chat_id, envelope.lane) == (8, "payment:8:5")


def test_a_payment_in_a_private_chat_needs_no_sender(intake: Intake, queueing: Queueing) -> None:
    paid = payment()
    del paid["message"]["from"]
    take(intake, paid)
    assert RecordPayment.decode(taken(queueing).fields).telegram_id == 8


def test_the_receipt_goes_to_the_payer_wherever_they_paid(intake: Intake, queueing: Queueing) -> None:
    take(intake, payment(chat={"id": -100, "type": "supergroup"}))
    assert taken(queueing).chat_id == 8


def test_a_payment_leaves_a_dialogue_as_it_was(intake: Intake, queueing: Queueing) -> None:
    message = payment()["message"]
    del message["successful_payment"]
    take(intake, {"update_id": 1, "message": {**message, "text": "/send"}})
    take(intake, payment(update_id=2))
    take(intake, {"update_id": 3, "message": {**message, "text": "@carol"}})
    queueing.inbox.finish(f"123456-1-{DATE}")
    asked = DeliverReply.decode(taken(queueing, 3).fields)
    assert "How much" in asked.messages[0].text


def test_a_payment_is_taken_where_no_command_is_any_more(intake: Intake, queueing: Queueing) -> None:
    for number in range(LANE_LENGTH_MAX + 1):
        message = {**payment()["message"], "text": "/balance"}
        del message["successful_payment"]
        take(intake, {"update_id": 100 + number, "message": message})
    take(intake, payment())
    assert taken(queueing).kind == RecordPayment.kind
    fill_inbox(queueing.client, SIZE_MAX)
    take(intake, payment(update_id=6))
    assert taken(queueing, 6).kind == RecordPayment.kind


ANN = {"id": 8, "is_bot": False, "first_name": "Ann"}


def of_renewal(state: str, update_id: int = 5) -> dict[str, Any]:
    told = {"user": ANN, "invoice_payload": "s1:premium:250:x:y", "state": state}
    return {"update_id": update_id, "subscription": told}


@pytest.mark.parametrize(
    ("state", "renewal"), [("active", "on"), ("canceled", "cancelled"), ("failed", "failed")]
)
def test_a_change_of_a_renewal_is_taken_past_every_bound(
    intake: Intake, queueing: Queueing, state: str, renewal: str
) -> None:
    fill_inbox(queueing.client, SIZE_MAX)
    take(intake, of_renewal(state))
    claim = queueing.inbox.claim("123456-5-0", OWNER)
    assert claim is not None
    job = RecordRenewal.decode(claim.envelope.fields)
    assert (job.telegram_id, job.renewal, job.payload) == (8, renewal, "s1:premium:250:x:y")
    assert claim.envelope.chat_id is None  # nobody asked for anything


def test_a_state_that_nobody_knows_is_kept_for_an_operator(intake: Intake, queueing: Queueing) -> None:
    take(intake, of_renewal("of tomorrow"))
    (job_id,) = queueing.client.zrange("ballast:inbox:all", 0, -1)
    assert b"unreadable" in job_id


@pytest.mark.parametrize(
    ("told", "kind", "what", "stars"),
    [
        ({"gift": {"gift": {"id": "g1", "star_count": 15}}}, "gift", "g1", 15),
        ({"unique_gift": {"gift": {"name": "Cat-7"}}}, "unique_gift", "Cat-7", None),
        ({"gift": {}}, "gift", "", None),
        ({"gift": {"gift": {"id": 1, "star_count": "x"}}}, "gift", "1", None),
    ],
)
def test_a_gift_is_kept_and_is_no_small_talk(
    intake: Intake, queueing: Queueing, told: dict[str, Any], kind: str, what: str, stars: int | None
) -> None:
    message = {**payment()["message"], **told}
    del message["successful_payment"]
    take(intake, {"update_id": 5, "message": message})
    job = RecordStarReport.decode(taken(queueing).fields)
    assert (job.report, job.what, job.stars, job.telegram_id, job.said_at) == (kind, what, stars, 8, DATE)


def test_paid_media_that_somebody_bought_is_kept(intake: Intake, queueing: Queueing) -> None:
    take(intake, {"update_id": 5, "purchased_paid_media": {"from": ANN, "paid_media_payload": "film 7"}})
    claim = queueing.inbox.claim("123456-5-0", OWNER)
    assert claim is not None
    job = RecordStarReport.decode(claim.envelope.fields)
    assert (job.report, job.what, job.stars, job.telegram_id) == ("paid_media", "film 7", None, 8)


GROUP = {"id": -100, "type": "supergroup"}
BOT = {"id": 123456, "is_bot": True, "first_name": "Ballast"}


@pytest.mark.parametrize(
    "bent",
    [
        {"chat": GROUP, "from": None},
        {"chat": GROUP, "from": BOT},
        {"chat": {"id": -100, "type": "private"}},
        {"successful_payment": {"total_amount": 5}},
        {"successful_payment": {**PAID, "currency": "<b>"}},
        {"successful_payment": {**PAID, "total_amount": 0}},
        *(
            {"successful_payment": {**PAID, "telegram_payment_charge_id": f"a{invisible}b"}}
            for invisible in "\0\x1b\x7f\x85\x9f\u200b\u202e\u2028\u2029\ud800"
        ),
        *({"successful_payment": {**PAID, "total_amount": amount}} for amount in (0, -1, 2**63)),
    ],
)
def test_a_payment_that_cannot_be_read_is_kept_for_an_operator(
    intake: Intake, queueing: Queueing, bent: dict[str, Any]
) -> None:
    take(intake, payment(**bent))
    (job_id,) = queueing.client.zrange("ballast:inbox:all", 0, -1)
    assert b"unreadable" in job_id


async def test_a_checkout_is_refused_though_redis_is_away(
    make_settings: MakeSettings, queueing_without_redis: Queueing, tmp_path: Path
) -> None:
    queueing, port = queueing_without_redis, free_port()
    server = TelegramProcess(tmp_path / "telegram", port, TOKEN, admin_ids=())
    server.start()
    settings = make_settings(
        redis_url=queueing.redis_url,
        telegram_bot_token=TOKEN,
        telegram_api_url=f"http://127.0.0.1:{port}",
        stars_support="Ask us.",
        stars_terms="Be kind.",
    )
    bot = make_bot(settings, connections=2)
    rate_limiter, receiver = RateLimiter(queueing.client), Receiver("polling")
    intake = Intake(settings, queueing.inbox, queueing.publisher, Albums(queueing.client), lambda: False)
    poller = Poller(
        bot,
        intake,
        CallbackAnswers(bot, rate_limiter, Presses(queueing.client)),
        receiver,
        rate_limiter,
        Checkouts(bot, settings),
    )
    polling = asyncio.create_task(poller.run())
    try:
        async with TelegramControl(server.url) as telegram:
            bob = await telegram.create_user("Bob")
            await telegram.send_text(bob.id, "/balance")  # cannot be recorded, and is before it
            query_id = await telegram.check_out(bob.id, 100)
            checkout = await telegram.checkout(query_id, wait_seconds=30)
            assert checkout["answer"] == {
                "ok": False,
                "error_message": "This invoice is not valid. You have not been charged. Send /deposit for a new one.",
            }
            await telegram.send_text(bob.id, "/balance")
            payload = star_invoices.write(StarInvoice(100, 10_000, "CREDIT", 2**33), settings)
            ours = await telegram.check_out(bob.id, 100, payload=payload)
            assert (await telegram.checkout(ours, wait_seconds=30))["answer"]["ok"] is True
            answered = await telegram.requests(method="answerPreCheckoutQuery")
            assert [request.outcome for request in answered] == ["ok", "ok"]
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await bot.request.shutdown()
        server.stop()
