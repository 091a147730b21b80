"""Jobs that are part of a commit, done by the real workers."""

from __future__ import annotations

from dataclasses import replace

from celery import Celery

from dbcore import Guard
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance import shop
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, answers, assert_audit_passes, balances, register


def rows(stack: Stack) -> int:
    return int(stack.query("SELECT count(*) FROM outbox")[0][0])


async def test_what_a_commit_asks_for_is_done_once_and_what_is_rolled_back_never(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(HEALTH_PROBE_SECONDS="1")
    main = stack.program("main")
    stack.run("main", replace(main, argv=[*main.argv, "-I", "tests.acceptance.shop"]))
    stack.start("frontend", "light")
    stack.wait_ready(processes=3)
    (ann,) = await register(telegram, "Ann")

    # In a worker: at once, for no beat runs that would have anybody look.
    with Celery(broker=stack.env["REDIS_URL"], set_as_current=False) as operator:
        operator.send_task(shop.TASK, kwargs={"user": ann, "number": 1}, queue="users")
    await telegram.wait_for_message(ann, lambda message: message.text == "It is on its way, number 1.")
    await telegram.wait_for_message(ann, lambda message: "You were credited 1.00" in message.text)

    # Anywhere else: with the next probe.
    stack.start("beat")
    guard = Guard.from_url(stack.database_url)
    try:
        guard.transact(lambda tx: shop.bought(tx, ann, 2), key="buy-2")
    finally:
        guard.close()
    await telegram.wait_for_message(ann, lambda message: message.text == "It is on its way, number 2.")
    await telegram.wait_for_message(ann, lambda message: "Your balance is 2.00" in message.text)
    await all_settled(stack, telegram)

    assert rows(stack) == 0
    said = [text for text in await answers(telegram, ann) if "number" in text]
    wanted = [f"{words}, number {n}." for n in (1, 2) for words in ("Thank you", "It is on its way")]
    assert said == wanted
    assert balances(stack)[ann] == 200
    made = stack.query("SELECT idempotency_key FROM transfers ORDER BY id")
    assert made == [("bonus-1",), ("bonus-2",)]
    assert_audit_passes(stack)
