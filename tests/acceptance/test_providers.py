"""Payments by providers with the real processes and local stand-ins: forged, again, out of order, late, and by a worker
that is killed in each gap. Each payment is credited once. Tests that need a stack of their own are in
test_providers_apart.py.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from ballast.inbox.limits import PUBLISH_GRACE_MS
from devstack import providers as local
from devstack.ports import free_port
from devstack.providers import LocalProviders, Told, send
from devstack.redis import EmbeddedRedis
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.process import TelegramProcess
from tests.acceptance.shared_stack import stack_of_file, stand_in_of_file
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    balances,
    queue_task,
    register,
    say,
)
from tests.harness.relay import Hold, holding_relay
from tests.harness.worker_deaths import lock_account, waits_for_a_lock

PATIENCE_SECONDS = 60.0
HOLD_SECONDS_MAX = 60.0


def options(url: str) -> dict[str, str]:
    return {
        "STARS_SUPPORT": "Write to @support_of_ours",
        "STARS_TERMS": "https://example.org/terms",
        "CRYPTO_PAY_TOKEN": local.CRYPTO_PAY_TOKEN,
        "CRYPTO_PAY_URL": url,
        "STRIPE_KEY": local.STRIPE_KEY,
        "STRIPE_WEBHOOK_SECRET": local.STRIPE_SECRET,
        "STRIPE_URL": url,
        "STRIPE_RATE": "2",
    }


def options_of_file() -> dict[str, str]:
    url = f"http://127.0.0.1:{free_port()}"
    return {**options(url), "WITHDRAWALS_BY": "crypto_pay", "WITHDRAWALS_AUTO": "50"}


telegram_server, telegram, shared_stack, stack = stack_of_file(options_of_file)
stand_in = stand_in_of_file()


def frontend(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.ops_port}"


async def session_of(telegram: TelegramControl, stand_in: LocalProviders, user: int, amount: str) -> str:
    """A checkout at Stripe that somebody asked for."""
    before = set(stand_in.sessions)
    await say(telegram, user, f"/deposit stripe {amount}")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not set(stand_in.sessions) - before:
            await asyncio.sleep(0.05)
    (session,) = set(stand_in.sessions) - before
    return session


async def sweep(stack: Stack) -> None:
    """Ask both providers what they know, until each has been asked."""
    began = time.time()
    broken_off = stack.log("light").count("provider_sweep_broken_off")
    noted = "SELECT count(*) FROM provider_sweeps WHERE swept_to >= to_timestamp(%s)"

    def swept() -> bool:
        not_answered = stack.log("light").count("provider_sweep_broken_off") - broken_off
        return bool(stack.query(noted, began)[0][0] + not_answered == 2)

    await asyncio.to_thread(queue_task, stack, "workers.payments.sweep", {}, queue="health")
    await asyncio.to_thread(stack.wait_until, swept, "both providers have been asked")


async def until(stack: Stack, told: Told, **how: object) -> None:
    """As a provider does: again and again, until it is taken."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await send(told, frontend(stack), **how))[0] != 200:
            await asyncio.sleep(0.2)


def known(stack: Stack, *people: int) -> list[tuple[object, ...]]:
    """Their payments."""
    return stack.query(
        "SELECT provider, paid, amount, refunded, fee FROM provider_payments p JOIN users u ON u.id = p.user_id "
        "WHERE u.telegram_id = ANY(%s) ORDER BY provider, p.id",
        list(people),
    )


def fees(stack: Stack) -> int:
    """What the account of the providers' fees has had."""
    ((moved,),) = stack.query(
        "SELECT coalesce(sum(e.amount), 0)::bigint FROM entries e JOIN system_accounts s "
        "ON s.account_id = e.account_id WHERE s.name = 'provider_fees'"
    )
    return int(moved)


async def test_a_payment_by_either_provider_is_credited_once_whatever_their_webhooks_do(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    ann, ben = await register(telegram, "Ann", "Ben")
    await say(telegram, ADMIN_ID, "/start")
    await say(telegram, ann, "/deposit")
    offered = await telegram.wait_for_message(
        ann, lambda message: "How much do you want to pay" in message.text
    )
    rows = offered.message["reply_markup"]["inline_keyboard"]
    assert len(rows) == 4 + 2 * 4
    await telegram.press_button(ann, offered, "10.00 CREDIT · Crypto Pay")
    link = await telegram.wait_for_message(ann, lambda message: "t.me/CryptoBot" in message.text)
    assert "Pay 10.00" in link.text
    assert "Adds 10.00 CREDIT to your balance." in link.text
    (invoice,) = stand_in.invoices
    session = await session_of(telegram, stand_in, ben, "20")
    assert stand_in.sessions[session]["amount_total"] == 1000  # 20 at STRIPE_RATE=2

    at_crypto_pay, at_stripe = stand_in.pay_invoice(invoice), stand_in.pay_session(session)
    for told in (at_crypto_pay, at_stripe):
        assert (await send(told, frontend(stack), secret="somebody else's"))[0] == 400
    assert (await send(at_stripe, frontend(stack), at=time.time() - 301))[0] == 400
    assert (await send(replace(at_stripe, provider="nobody"), frontend(stack)))[0] == 404
    refunded = stand_in.refund_charge(f"pi_{session}", 400)
    # The refund first, each again and at once.
    tries = [send(each, frontend(stack)) for each in (refunded, at_stripe, at_crypto_pay) * 3]
    assert {status for status, _ in await asyncio.gather(*tries)} == {200}
    receipt = await telegram.wait_for_message(ann, lambda message: "Receipt number" in message.text)
    assert "We received your payment of 10.00" in receipt.text
    await telegram.wait_for_message(ben, lambda message: "of your payment was refunded" in message.text)
    await all_settled(stack, telegram)
    assert (balances(stack)[ann], balances(stack)[ben]) == (1000, 1200)
    assert known(stack, ann, ben) == [
        ("crypto_pay", 10_000_000, 1000, 0, 150_000),
        ("stripe", 1000, 2000, 400, None),
    ]

    # The same events with other words: an alarm, and nothing is booked.
    forged = {**at_crypto_pay.event["payload"], "amount": "1000"}
    assert (await send(at_crypto_pay, frontend(stack), payload=forged))[0] == 200
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: "contradicts what it said before" in message.text
    )
    # A checkout that asked for something else, and a payment of somebody else's by the same account.
    other = await session_of(telegram, stand_in, ben, "5")
    stand_in.sessions[other]["amount_total"] = 1
    await until(stack, stand_in.pay_session(other))
    await telegram.wait_for_message(
        ADMIN_ID, lambda message: "not what its checkout asked for" in message.text
    )
    stranger = await session_of(telegram, stand_in, ben, "5")
    stand_in.sessions[stranger]["metadata"] = {}
    await until(stack, stand_in.pay_session(stranger))
    # What was spent and is refunded is a debt.
    rest = stand_in.refund_charge(f"pi_{session}", 600)
    queue_task(stack, "workers.balances.adjust", {"telegram_id": ben, "amount": -1200})
    await asyncio.to_thread(stack.wait_until, lambda: balances(stack)[ben] == 0, "spent")
    await until(stack, rest)
    await telegram.wait_for_message(ADMIN_ID, lambda message: "had spent it, and owes" in message.text)
    await all_settled(stack, telegram)
    assert (balances(stack)[ann], balances(stack)[ben]) == (1000, -1200)
    assert_audit_passes(stack)


async def test_a_payment_that_its_bank_disputes_is_taken_back_pays_no_withdrawal_and_is_given_back_once_it_is_won(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    await say(telegram, ADMIN_ID, "/start")
    (ann,) = await register(telegram, "Ann")
    session = await session_of(telegram, stand_in, ann, "20")
    await until(stack, stand_in.pay_session(session))
    await telegram.wait_for_message(ann, lambda message: "Receipt number" in message.text)

    card = await say(telegram, ann, "/withdraw 15")
    opened = stand_in.dispute_charge(f"pi_{session}", 1000)
    for _ in range(3):
        await until(stack, opened)
    await telegram.wait_for_message(ann, lambda message: "Your bank has taken back" in message.text)
    await telegram.wait_for_message(ADMIN_ID, lambda message: "disputes a payment by Stripe" in message.text)
    await telegram.press_button(ann, card, "Confirm")
    await telegram.wait_for_message(ann, lambda message: "do not have that much" in message.text)
    assert balances(stack)[ann] == 0

    # Its end was never told, and is found by the sweep.
    stand_in.dispute_charge(f"pi_{session}", 1000, "won")
    await sweep(stack)
    await telegram.wait_for_message(
        ann,
        lambda message: "The dispute about a payment of yours is over" in message.text,
        timeout_seconds=60,
    )
    await until(stack, opened)
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 2000
    assert stand_in.transfers == {}
    assert_audit_passes(stack)


async def test_a_payment_whose_webhook_never_came_is_found(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    before = fees(stack)
    (ann,) = await register(telegram, "Ann")
    session = await session_of(telegram, stand_in, ann, "20")
    late = stand_in.pay_session(session)
    await sweep(stack)
    await telegram.wait_for_message(ann, lambda message: "20.00 CREDIT was added" in message.text)
    # The webhook after all; and a refund that no webhook tells.
    await until(stack, late)
    stand_in.refund_charge(f"pi_{session}", 1000)
    stand_in.answers = False
    await sweep(stack)
    stand_in.answers = True
    await sweep(stack)
    await telegram.wait_for_message(ann, lambda message: "was refunded" in message.text)
    await sweep(stack)
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 0
    assert known(stack, ann) == [("stripe", 1000, 2000, 1000, local.STRIPE_FEE)]
    assert len([text for text in await answers(telegram, ann) if "Receipt number" in text]) == 2
    assert fees(stack) - before == -2 * local.STRIPE_FEE
    assert_audit_passes(stack)


async def test_a_provider_that_is_away_is_said_to_be(
    stack: Stack, telegram: TelegramControl, stand_in: LocalProviders
) -> None:
    (ann,) = await register(telegram, "Ann")
    stand_in.answers = False
    await say(telegram, ann, "/deposit stripe 5")
    await telegram.wait_for_message(ann, lambda message: "Stripe did not answer" in message.text)
    await say(telegram, ann, "/deposit crypto_pay five")
    await telegram.wait_for_message(ann, lambda message: "/deposit crypto_pay 5" in message.text)
    await all_settled(stack, telegram)


GAPS = {
    "in the transaction": ("database", Hold()),
    "after the commit, with no answer out": ("telegram", Hold(b"POST", b"/sendMessage", "request")),
    "before the finish": ("redis", Hold(str(PUBLISH_GRACE_MS).encode(), b"webhook-", "request")),
}


async def test_a_worker_that_is_killed_in_any_gap_credits_once(
    stack: Stack,
    redis_server: EmbeddedRedis,
    telegram: TelegramControl,
    telegram_server: TelegramProcess,
    stand_in: LocalProviders,
) -> None:
    (ann,) = await register(telegram, "Ann", credit="1")
    sessions = {gap: await session_of(telegram, stand_in, ann, "20") for gap in GAPS}
    await all_settled(stack, telegram)
    with ExitStack() as closing:
        redis_port, redis_hold = closing.enter_context(holding_relay(redis_server.port))
        telegram_port, telegram_hold = closing.enter_context(
            holding_relay(urlsplit(telegram_server.url).port or 0)
        )
        address = urlsplit(stack.env["REDIS_URL"])._replace(
            netloc=f"{redis_server.login}@127.0.0.1:{redis_port}"
        )
        main = stack.program("main")
        behind = replace(
            main,
            argv=[*main.argv[:-1], "1"],
            env={"REDIS_URL": address.geturl(), "TELEGRAM_API_URL": f"http://127.0.0.1:{telegram_port}"},
        )
        for gap, (where, wanted) in GAPS.items():
            hold = telegram_hold if where == "telegram" else redis_hold
            stack.kill("main")
            await until(stack, stand_in.pay_session(sessions[gap]))
            with ExitStack() as locking:
                if where == "database":
                    lock_account(stack, ann, locking)
                hold.stop_at(wanted)
                stack.run("main", behind)
                if where == "database":
                    await asyncio.to_thread(stack.wait_until, partial(waits_for_a_lock, stack), gap)
                else:
                    assert await asyncio.to_thread(hold.reached.wait, HOLD_SECONDS_MAX), gap
                stack.kill("main")
            hold.stop_at(Hold())
            stack.start("main")
            await all_settled(stack, telegram)
    assert balances(stack)[ann] == 100 + len(GAPS) * 2000
    assert len(known(stack, ann)) == len(GAPS)
    assert_audit_passes(stack)
