"""What needs its user's eyes comes as a message of its own, which Telegram notifies of, and with time to answer it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import cast

from ballast.builtin.balances import AskAdjustment
from ballast.builtin.transfers import CreateTransfer
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, pending_adjustments, pending_transfers
from dbcore.ledger.balance_cache import BalanceCache
from dbcore.ledger.pending_adjustments import Limits
from dbcore.ledger.users import Profile, UserRef
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.test_outage import execute
from tests.conftest import MakeSettings
from tests.harness.people import (
    ANSWER_SECONDS_MAX,
    all_settled,
    assert_audit_passes,
    balances,
    pause,
    register,
    resume,
    say,
)


async def test_what_waited_comes_as_a_new_message_and_a_question_holds_from_when_it_could_be_read(
    stack: Stack, telegram: TelegramControl
) -> None:
    ann, otto = await register(telegram, "Ann", "Otto", credit="10")
    await all_settled(stack, telegram)
    question = await asked_during_a_pause(stack, telegram, ann)
    await confirmed_during_a_long_pause(stack, telegram, ann, question)
    await asked_while_telegram_was_unreachable(stack, telegram, ann)
    await all_settled(stack, telegram)
    assert balances(stack)[otto] == 1_300
    assert_audit_passes(stack)


async def test_a_question_whose_first_run_died_after_its_commit_holds_from_when_it_comes(
    stack: Stack, telegram: TelegramControl, make_settings: MakeSettings
) -> None:
    """And a card shows the balance of now."""
    ann, otto = await register(telegram, "Ann", "Otto", credit="10")
    await all_settled(stack, telegram)
    engine = GuardedEngine(make_settings(database_url=stack.database_url))
    await pause(stack)
    assert "is paused" in (await say(telegram, ann, "/send @otto 1")).text
    assert "is paused" in (await say(telegram, ADMIN_ID, "/credit @otto 4")).text
    # As a first run of each left it.
    transfer, adjustment = (newest_job(stack, kind) for kind in (CreateTransfer.kind, AskAdjustment.kind))
    sender, recipient = Profile(ann, "ann", "Ann"), UserRef(username="otto")
    pending_transfers.create(
        engine, key=transfer, sender=sender, recipient=recipient, amount=100, memo="", expires_after_seconds=0
    )
    pending_adjustments.create(
        engine,
        key=adjustment,
        admin_id=ADMIN_ID,
        target=recipient,
        amount=400,
        memo="",
        limits=Limits(),
        expires_after_seconds=0,
    )
    ledger.adjust(engine, key="meanwhile", target=recipient, amount=500, memo="", actor="test")
    engine.dispose()
    await resume(stack)

    question = await heard(telegram, ann, "Send 1.00 CREDIT to “Otto”")
    await telegram.press_button(ann, question, "Confirm")
    await heard(telegram, ann, "Sent 1.00 CREDIT")
    card = await heard(telegram, ADMIN_ID, "Credit 4.00 CREDIT to “Otto”")
    assert balances(stack)[otto] == 1_600
    await telegram.press_button(ADMIN_ID, card, "Confirm")
    done = await heard(telegram, ADMIN_ID, "Credited 4.00 CREDIT")
    shown = re.search(r"Balance now: (\S+)", card.text)
    assert shown is not None
    assert shown[1] in {"15.00", "16.00"}  # before or after Ann's
    assert ("It had changed from 15.00 CREDIT to 16.00" in done.text) == (shown[1] == "15.00")
    assert "Their balance is 20.00 CREDIT." in done.text
    await all_settled(stack, telegram)
    assert_audit_passes(stack)


def on_record(stack: Stack) -> list[str]:
    return [job_id.decode() for job_id in cast(list[bytes], stack.redis.zrange("ballast:inbox:all", 0, -1))]


def newest_job(stack: Stack, kind: str) -> str:
    lines = [line for line in stack.log("frontend").splitlines() if f'"kind": "{kind}"' in line]
    return str(json.loads(lines[-1])["job_id"])


async def heard(telegram: TelegramControl, user: int, text: str) -> SeenMessage:
    return await telegram.wait_for_message(
        user, lambda message: text in message.text, timeout_seconds=ANSWER_SECONDS_MAX
    )


async def is_gone(telegram: TelegramControl, message: SeenMessage) -> None:
    async def standing() -> list[int]:
        return [seen.message_id for seen in await telegram.messages(message.chat_id, from_bot=True)]

    for _ in range(600):
        if message.message_id not in await standing():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still there: {message.text}")


async def asked_during_a_pause(stack: Stack, telegram: TelegramControl, ann: int) -> SeenMessage:
    await pause(stack)
    notice = await say(telegram, ann, "/send @otto 1")
    assert notice.text.startswith("The bot is paused for maintenance. Your transfer of 1.00 CREDIT to @otto")
    balance = await say(telegram, ann, "/balance")
    assert (
        "your balance was 10.00 CREDIT. I can't check it right now because the bot is paused" in balance.text
    )
    await resume(stack)
    question = await heard(telegram, ann, "Send 1.00 CREDIT to “Otto”")
    assert question.message_id > balance.message_id  # and not in the notice's place
    await is_gone(telegram, notice)
    return question


async def confirmed_during_a_long_pause(
    stack: Stack, telegram: TelegramControl, ann: int, question: SeenMessage
) -> None:
    await pause(stack)
    await telegram.press_button(ann, question, "Confirm")
    notice = await heard(telegram, ann, "Your confirmation is saved")
    for job_id in on_record(stack):
        # Only what is still there: a notice may have gone out since.
        stack.redis.zadd("ballast:inbox:all", {job_id: -120_000}, xx=True, incr=True)
    await resume(stack)
    result = await telegram.wait_for_message(
        ann,
        lambda message: "Sent 1.00 CREDIT" in message.text and message.message_id > notice.message_id,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )
    assert not result.buttons
    await telegram.wait_for_message(
        ann,
        lambda message: message.message_id == question.message_id and not message.buttons,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )
    await is_gone(telegram, notice)


async def asked_while_telegram_was_unreachable(stack: Stack, telegram: TelegramControl, ann: int) -> None:
    fault = await telegram.add_fault("reset", when="before", methods=["sendMessage"], chat_id=ann)
    await telegram.send_text(ann, "/send @otto 2")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: any(
            stack.redis.hexists(f"ballast:inbox:job:{job_id}", "reply") for job_id in on_record(stack)
        ),
        "the question waits for Telegram",
    )
    execute(stack, "UPDATE pending_transfers SET expires_at = clock_timestamp() WHERE status = 'pending'")
    await telegram.clear_faults(fault.id)
    question = await heard(telegram, ann, "Send 2.00 CREDIT to “Otto”")
    await telegram.press_button(ann, question, "Confirm")
    await heard(telegram, ann, "Sent 2.00 CREDIT")
    assert BalanceCache(stack.redis).last(ann, "CREDIT") is not None
