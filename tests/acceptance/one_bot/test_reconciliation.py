"""Telegram's book of Stars against the ledger, with the real processes."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from typing import Any

import pytest

from ballast.inbox import Publisher
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.one_bot.test_payments import (
    PATIENCE_SECONDS,
    booked_of,
    books_are_the_same,
    invoice_of,
)
from tests.acceptance.shared_stack import OPS_TOKEN
from tests.harness.people import all_settled, answers, register, say
from workers.tasks.health import SEAL_TASK

WITHDRAWAL = {"type": "fragment", "withdrawal_state": {"type": "pending"}}


def csv_of(stack: Stack) -> str:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{stack.ops_port}/star-differences.csv",
        headers={"Authorization": f"Bearer {OPS_TOKEN}"},
    )
    with urllib.request.urlopen(asked) as answer:  # noqa: S310  ours
        return str(answer.read().decode())


@pytest.mark.timeout(300)
async def test_a_payment_whose_update_was_lost_is_found_and_credited_once_and_the_rest_is_named(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann,) = await register(telegram, "Ann")
    invoice = await invoice_of(telegram, ann, 50)
    await telegram.pay(ann, None, "lost-1", invoice=invoice, lost=True)
    await telegram.pay(ann, 7, "foreign-1", lost=True)
    for number in range(110):
        await telegram.book_stars(f"other-{number}", 2, {"type": "other"})
    await telegram.book_stars("withdrawn", 150, WITHDRAWAL, nanostars=500_000_000, outgoing=True)

    # Killed before its second page is kept.
    await telegram.add_fault("hang", methods=["getStarTransactions"], skip=1)
    reading = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ballast", "reconcile"),
        env=stack.env,
        cwd=stack.current_folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    offset = "SELECT next_offset FROM star_reconciliations WHERE finished_at IS NULL"
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.query(offset) == [(100,)], "the first page is kept"
    )
    reading.kill()
    await reading.wait()
    await telegram.clear_faults()
    assert booked_of(stack, ann) == []

    await telegram.add_fault("unavailable", methods=["getStarTransactions"], count=1)
    assert "Telegram did not answer" in (await say(telegram, ADMIN_ID, "/reconcile")).text
    before = await telegram.last_revision()
    said = await say(telegram, ADMIN_ID, "/reconcile")
    assert "1 payment or refund was missing here" in said.text, said.text
    assert "1 difference is open" in said.text
    asked = await telegram.requests(method="getStarTransactions")
    offsets = [int(each.params["offset"]) for each in asked]
    assert (offsets[0], 0 in offsets[1:]) == (0, False)  # it went on at its cursor
    receipt = await telegram.wait_for_message(
        ann, lambda message: "Receipt number" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    assert "50.00 CREDIT was added to your balance." in receipt.text
    await telegram.pay(ann, None, "lost-1", invoice=invoice)  # the update comes after all
    await telegram.wait_for_message(
        ADMIN_ID,
        lambda message: "Telegram's book of Stars and the ledger do not agree" in message.text,
        after=before,
        timeout_seconds=PATIENCE_SECONDS,
    )
    await all_settled(stack, telegram)
    assert booked_of(stack, ann) == [(50, 5_000, False)]
    assert len([text for text in await answers(telegram, ann) if "Receipt number" in text]) == 1
    await books_are_the_same(stack, telegram)

    shown = stack.command("ballast", "reconcile")
    assert shown.returncode == 1, shown.stderr
    assert "theirs_alone  foreign-1  Telegram 7, ledger none  open" in shown.stdout
    assert "withdrawal" in shown.stdout and "150.5" in shown.stdout
    assert "balance_differs" not in shown.stdout and "lost-1" not in shown.stdout
    await asyncio.to_thread(
        stack.wait_until, lambda: stack.get("/status.json")[1]["stars"]["open"] == 1, "the page shows it"
    )
    lines = (await asyncio.to_thread(csv_of, stack)).splitlines()
    assert lines[1].startswith("theirs_alone,foreign-1,7,0,,")
    accepted = stack.command("ballast", "reconcile", "--accept", "foreign-1", "--csv")
    assert (accepted.returncode, accepted.stdout.splitlines()[0]) == (0, lines[0]), accepted.stderr
    # What the shell finds missing is booked at once, too: nothing probes here.
    await telegram.pay(ann, None, "lost-2", invoice=invoice, lost=True)
    found = stack.command("ballast", "reconcile")
    assert found.returncode == 0, found.stderr
    await telegram.wait_for_message(
        ann, lambda message: "lost-2" in message.text, timeout_seconds=PATIENCE_SECONDS
    )
    # And the workers seal what was written.
    Publisher(stack.redis).ask(SEAL_TASK, queue="health", expires_seconds=60)
    await asyncio.to_thread(
        stack.wait_until, lambda: books_of(stack)["unsealed_entries"] == 0, "it is sealed"
    )
    assert {row["account"] for row in books_of(stack)["sheet"]} >= {"users", "stars"}
    audited = stack.audit()
    assert audited.returncode == 0, audited.stdout


def books_of(stack: Stack) -> dict[str, Any]:
    books: dict[str, Any] = stack.get("/status.json")[1]["books"]
    return books
