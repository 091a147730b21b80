"""What the simulated people do and expect, in words the tests share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery

from ballast.cli.audit_text import report
from ballast.queueing.envelope import queue_of
from dbcore.breaker import override
from dbcore.ledger.audit import audit
from dbcore.ledger.balance_cache import BalanceCache
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import Press, SeenMessage

ANSWER_SECONDS_MAX = 60.0
PRESSES_MAX = 20
LOOK_SECONDS = 0.1


async def say(telegram: TelegramControl, user_id: int, text: str) -> SeenMessage:
    """Write to the bot and return its next answer to that chat; an alarm that comes meanwhile is none."""
    sent = await telegram.send_text(user_id, text)
    return await telegram.wait_for_message(
        user_id,
        lambda message: not message.text.startswith("Alarm"),
        after=sent.message.revision,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )


async def register(telegram: TelegramControl, *names: str, credit: str | None = None) -> list[int]:
    """Users who said /start, called by their names in lower case; each with `credit` on the account."""
    people = []
    for name in names:
        user = await telegram.create_user(name, username=name.lower())
        await say(telegram, user.id, "/start")
        people.append(user.id)
        if credit is not None:
            await credit_once(telegram, user.id, credit)
    return people


async def credit_once(
    telegram: TelegramControl, whom: int | str, amount: str, reason: str = ""
) -> SeenMessage:
    """/credit and Confirm by the admin; the card, as it says what was done."""
    card = await say(telegram, ADMIN_ID, f"/credit {whom} {amount} {reason}")
    await confirm(telegram, card)
    return await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: message.message_id == card.message_id and message.text.startswith("Credited"),
        after=card.revision,
        timeout_seconds=ANSWER_SECONDS_MAX,
    )


async def ask_credits(
    telegram: TelegramControl, count: int, whom: str = "@alice", amount: str = "1"
) -> list[SeenMessage]:
    """So many /credit by the admin; their cards, none of which is confirmed yet."""
    known = {message.message_id for message in await telegram.messages(ADMIN_ID, from_bot=True)}
    for _ in range(count):
        await telegram.send_text(ADMIN_ID, f"/credit {whom} {amount}")
    cards: dict[int, SeenMessage] = {}
    async with asyncio.timeout(ANSWER_SECONDS_MAX + count):
        while len(cards) < count:
            for message in await telegram.messages(ADMIN_ID, from_bot=True):
                if message.message_id not in known and message.text.startswith("Credit "):
                    cards[message.message_id] = message
            await asyncio.sleep(LOOK_SECONDS)
    return list(cards.values())


async def confirm(telegram: TelegramControl, card: SeenMessage) -> Press:
    return await telegram.press_button(ADMIN_ID, card, "Confirm")


async def answers(telegram: TelegramControl, chat_id: int) -> list[str]:
    """The texts of all that the bot has in this chat now."""
    return [message.text for message in await telegram.messages(chat_id, from_bot=True)]


def credits_told(texts: list[str]) -> int:
    return sum("You were credited" in text for text in texts)


async def toast(telegram: TelegramControl, press: Press) -> str:
    """What the presser was shown; empty if only the spinner ended."""
    query = await telegram.callback_query(press.callback_query_id, wait_seconds=ANSWER_SECONDS_MAX)
    assert query.answer is not None, f"the press of {query.data!r} was not answered"
    return str(query.answer["text"])


async def assert_shown(
    telegram: TelegramControl, user_id: int, message: SeenMessage, data: str | None, words: str
) -> None:
    """A press shows these words to its presser. It is made again if only the spinner ended, for a worker was late."""
    assert data is not None
    for _ in range(PRESSES_MAX):
        (press,) = await telegram.press(
            user_id, message.message_id, data, chat_id=message.chat_id, force=True
        )
        if text := await toast(telegram, press):
            assert words in text
            return
    raise AssertionError(f"{PRESSES_MAX} presses showed nothing")


async def all_settled(stack: Stack, telegram: TelegramControl) -> None:
    """Every update is acknowledged, and no job is on record any more."""
    await telegram.wait_until_acknowledged(timeout_seconds=ANSWER_SECONDS_MAX)
    await asyncio.to_thread(stack.wait_until, stack.is_idle, "the inbox is empty")


def balances(stack: Stack) -> dict[int, int]:
    """Minor units by Telegram id, from the database itself."""
    return dict(
        stack.query("SELECT u.telegram_id, a.balance FROM users u JOIN accounts a ON a.user_id = u.id")
    )


def last_known(stack: Stack, *people: int) -> list[int | None]:
    """Minor units that each of them would be told while the database is unavailable; None where none is known."""
    known = BalanceCache(stack.redis)
    return [last and last[0] for last in (known.last(person, "CREDIT") for person in people)]


def transfers(stack: Stack, kind: str = "transfer", *, of: int | None = None) -> int:
    """How many were applied; `of` counts those from or to one person."""
    counted = "SELECT count(*) FROM transfers t WHERE status = 'applied' AND kind = %s"
    if of is None:
        return int(stack.query(counted, kind)[0][0])
    theirs = (
        " AND EXISTS (SELECT FROM accounts a JOIN users u ON u.id = a.user_id"
        " WHERE a.id IN (t.from_account_id, t.to_account_id) AND u.telegram_id = %s)"
    )
    return int(stack.query(counted + theirs, kind, of)[0][0])


def assert_audit_passes(stack: Stack) -> None:
    """Where apps are installed, by the command: their checks are known to a process that has them."""
    if "BALLAST_APPS" in stack.env:
        done = stack.audit()
        assert done.returncode == 0, done.stdout + done.stderr
        return
    findings = audit(stack.database_url, stack.env.get("BALLAST_SCHEMA"))
    assert all(finding.ok for finding in findings), report(findings)


async def floods(telegram: TelegramControl) -> int:
    """How many requests were answered by 429."""
    return sum(row["count"] for row in await telegram.request_counts() if row["error_code"] == 429)


def call(stack: Stack, task: str, arguments: dict[str, Any]) -> str:
    """`celery -A workers call`; returns the task's id. What is queued by it is all that a test needs: `queue_task`."""
    done = stack.command("celery", "-A", "workers", "call", task, "--kwargs", json.dumps(arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


def queue_task(stack: Stack, task: str, arguments: dict[str, Any], *, queue: str | None = None) -> str:
    """As any program with Celery does it, without a process of its own; returns the task's id.

    queue -- that of the kind of job unless given: what keeps the bot up is done from `health`.
    """
    queue = queue or queue_of(task.removeprefix("workers."))
    with Celery(broker=stack.env["REDIS_URL"], set_as_current=False) as operator:
        return str(operator.send_task(task, kwargs=arguments, queue=queue).id)


async def pause(stack: Stack, force_open: Callable[[], object] | None = None) -> None:
    """Force the breaker open. Frontend and worker both know of it then: one that does not would do what the other says
    is saved.
    """
    before = stack.log("main").count("queues_paused")
    await asyncio.to_thread(force_open or partial(override.set_override, stack.redis, "open", "test"))
    await asyncio.to_thread(
        stack.wait_until,
        lambda: stack.get("/health")[1]["database"]["state"] == "unavailable",
        "the frontend knows",
    )
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.log("main").count("queues_paused") > before, "the worker knows"
    )


async def resume(stack: Stack) -> None:
    """Let the breaker decide again; the frontend knows of it then."""
    await asyncio.to_thread(override.set_override, stack.redis, "auto", "test")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: stack.get("/health")[1]["database"]["breaker"] == "closed",
        "the frontend knows that it is back",
    )
