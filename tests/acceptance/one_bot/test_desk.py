"""The operators' day on the running bot, step by step: from the page on a phone, and from the shell."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial

import pytest
from playwright.async_api import expect

from ballast.builtin.balances import ShowBalance
from ballast.queueing.envelope import Envelope, reference_of
from dbcore import failed_operations
from dbcore.guard.engine import GuardedEngine
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.one_bot.desk import TASKS, Shell, assert_reads_well, documented, signed_in
from tests.acceptance.shared_stack import PROGRAMS, TREASURER_ID, at_work
from tests.conftest import MakeSettings
from tests.harness.browser import needs_chromium
from tests.harness.people import ANSWER_SECONDS_MAX, all_settled, assert_audit_passes, balances, register, say

pytestmark = [needs_chromium, pytest.mark.timeout(500)]

FAILED = 500


def says(words: str, message: SeenMessage) -> bool:
    return words in message.text


@pytest.fixture
async def treasurer(stack: Stack, telegram: TelegramControl) -> str:
    """The code by which a treasurer signs in to the page."""
    if TREASURER_ID not in {user.id for user in await telegram.users()}:
        await telegram.create_user("Theo", user_id=TREASURER_ID, username="theo_of_the_till", started=True)
    code = (await say(telegram, TREASURER_ID, "/signin")).text
    return code.partition(" is ")[2].partition(".")[0]


async def test_a_credit_above_a_limit_waits_on_an_owners_page_and_is_approved_or_declined_there(
    stack: Stack, telegram: TelegramControl, treasurer: str
) -> None:
    (ann,) = await register(telegram, "Ann")
    reason = "order \u202e17"
    async with signed_in(stack, treasurer) as phone:
        page = phone.page
        for act, amount in (("Credit", "2000000"), ("Debit", "3000000")):
            await page.goto(f"http://127.0.0.1:{stack.ops_port}/#user={ann}")
            await page.get_by_role("button", name=act, exact=True).click()
            await page.get_by_label("Amount").fill(amount)
            await page.get_by_label("Reason").fill(reason)
            await page.get_by_test_id("act-go").click()
            await expect(page.get_by_test_id("toast").last).to_contain_text("waits for an owner")
        await expect(page.locator("#card-approvals")).to_be_hidden()
    shell = Shell(stack)
    async with signed_in(stack) as phone:
        page = phone.page
        approvals = page.get_by_test_id("approval")
        await expect(approvals).to_have_count(2)
        await expect(approvals.last).to_contain_text("+2,000,000.00 CREDIT")
        await expect(page.locator("#card-approvals .card-words")).to_have_text("2 wait for an owner")
        await assert_reads_well(page)
        async with phone.task("approve a credit above a limit"):
            await phone.tap(approvals.last.get_by_role("button", name="Approve"))
            await expect(page.get_by_test_id("act-words")).to_contain_text(f"telegram:{TREASURER_ID}")
            await expect(page.get_by_test_id("act-words")).not_to_contain_text("\u202e")
            await phone.act("Approve", reason="checked")
        await phone.tap(approvals.first.get_by_role("button", name="Decline"))
        await phone.act("Decline", reason="checked")
        await expect(approvals).to_have_count(0)
    for words in ("Approved by", "Declined by"):
        told = await telegram.wait_for_message(TREASURER_ID, partial(says, words))
        assert "web:operator" in told.text and "“checked”" in told.text
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 200_000_000
    code = (await say(telegram, TREASURER_ID, "/signin")).text.partition(" is ")[2].partition(".")[0]
    async with signed_in(stack, code) as phone:
        await phone.page.goto(f"{phone.url}/#user={ann}")
        await phone.button("Credit").click()
        await phone.page.get_by_label("Amount").fill("2000000")
        await phone.page.get_by_label("Reason").fill("again")
        await phone.page.get_by_test_id("act-go").click()
        await expect(phone.page.get_by_test_id("toast").last).to_contain_text("waits for an owner")
    async with shell.task("approve a credit above a limit"):
        number = (await shell.run("approvals", "list")).split()[0]
        await shell.run("approvals", "approve", number, "--reason", "checked", "--yes")
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 400_000_000
    assert_audit_passes(stack)


async def test_a_worker_is_drained_and_resumed_on_the_page_and_the_last_one_is_asked_about(
    stack: Stack, telegram: TelegramControl
) -> None:
    (ann,) = await register(telegram, "Ann", credit="3")
    main = f"main@{socket.gethostname()}"
    async with signed_in(stack) as phone:
        page = phone.page
        await page.locator("#card-workers > summary").click()
        worker = page.get_by_test_id("fleet-worker").filter(has_text=main)
        await expect(worker).to_contain_text("working")
        await expect(page.get_by_test_id("fleet-worker")).to_have_count(2)
        await assert_reads_well(page)
        await worker.get_by_role("button", name="Drain").click()
        dialog = page.get_by_test_id("confirm-dialog")
        await expect(dialog).to_contain_text("the last one?")
        await expect(dialog).to_contain_text("balances, transactions, users")
        await page.get_by_test_id("confirm-go").click()
        await expect(worker).to_contain_text("It has no jobs left.")
        asked = await telegram.send_text(ann, "/balance")
        await expect(page.get_by_test_id("verdict-words")).to_contain_text("no worker takes from there")
        await worker.get_by_role("button", name="Resume").click()
        await page.get_by_test_id("confirm-go").click()
        await expect(worker).to_contain_text("working")
    await telegram.wait_for_message(
        ann, partial(says, "3.00"), after=asked.message.revision, timeout_seconds=ANSWER_SECONDS_MAX
    )
    await all_settled(stack, telegram)


def test_the_documented_table_is_what_is_counted_here() -> None:
    assert documented() == TASKS


async def test_people_and_their_money(stack: Stack, telegram: TelegramControl) -> None:
    gwen, hugo = await register(telegram, "Gwendolyn", "Hugo", credit="10")
    asked = await say(telegram, gwen, "/send @hugo 4 lunch")
    await telegram.press_button(gwen, asked, "Confirm")
    await telegram.wait_for_message(hugo, partial(says, "sent you 4.00"))
    await say(telegram, gwen, "/send @hugo 400")
    await all_settled(stack, telegram)
    shell = Shell(stack)
    async with signed_in(stack) as phone:
        page = phone.page
        card = page.get_by_test_id("people")
        async with phone.task("find a user by name, with balance and history"):
            await phone.find("gwendol")
            await expect(page.get_by_test_id("person-balance")).to_have_text("6.00 CREDIT")
            await expect(page.get_by_test_id("movement").first).to_contain_text("lunch")
            await assert_reads_well(page)
        async with phone.task("why did their transfer fail?"):
            await phone.find("@gwendolyn")
            await expect(page.get_by_test_id("failure")).to_contain_text("There was not enough money.")
        async with phone.task("credit them"):
            await phone.find("@gwendolyn")
            await phone.tap(phone.button("Credit"))
            await phone.act("Credit", amount="2.50")
        async with phone.task("reverse a transfer"):
            await phone.find("@hugo")
            await phone.tap(page.get_by_test_id("movement").first.get_by_role("button"))
            await expect(page.get_by_test_id("act-words")).to_contain_text("4.00 CREDIT of transfer")
            await phone.act("Reverse")
        async with phone.task("freeze them"):
            await phone.find("@gwendolyn")
            await phone.tap(phone.button("Freeze"))
            await phone.act("Freeze")
            await expect(page.get_by_test_id("person-status")).to_contain_text("Frozen")
        async with phone.task("their movements as CSV"):
            await phone.find("@gwendolyn")
            assert "lunch" in await phone.saved(card.get_by_role("link", name="CSV"))
        async with phone.task("all transfers as CSV"):
            await phone.tap(phone.link("Transfers"))
            assert "lunch" in await phone.saved(page.get_by_test_id("lists").get_by_role("link", name="CSV"))
        async with phone.task("what did operators do about them?"):
            await phone.tap(page.locator("#card-actions > summary"))
            await phone.fill(page.get_by_label("Search the audit log"), str(gwen))
            await phone.tap(phone.button("Search"))
            await expect(page.get_by_test_id("audit-entry").first).to_contain_text("user.freeze")
        async with phone.task("where is the job of a reference?"):
            reference = reference_of(str(asked_job(stack)))
            await phone.tap(page.get_by_test_id("signal-jobs"))
            await phone.fill(page.get_by_label("Find a job by its reference"), reference)
            await phone.tap(page.locator("#lookup button"))
            await expect(page.get_by_test_id("lookup-result")).to_contain_text("Finished")

    async with shell.task("find a user by name, with balance and history"):
        said = await shell.run("user", "gwendol")
        assert "12.50 CREDIT" in said and "lunch" in said
    async with shell.task("why did their transfer fail?"):
        assert "There was not enough money." in await shell.run("user", "@gwendolyn")
    async with shell.task("credit them"):
        await shell.run("credit", "@gwendolyn", "1", "--reason", "asked for", "--yes")
    async with shell.task("reverse a transfer"):
        number = stack.query("SELECT id FROM transfers WHERE memo = 'asked for' ORDER BY id DESC LIMIT 1")[0][
            0
        ]
        await shell.run("reverse", str(number), "--reason", "by mistake", "--yes")
    async with shell.task("freeze them"):
        await shell.run("freeze", "@hugo", "--reason", "asked for", "--yes")
    async with shell.task("their movements as CSV"):
        assert "lunch" in await shell.run("user", str(gwen), "--csv")
    async with shell.task("all transfers as CSV"):
        assert "lunch" in await shell.run("transfers", "--csv")
    async with shell.task("what did operators do about them?"):
        assert "user.freeze" in await shell.run("log", "--target", str(hugo))
    async with shell.task("where is the job of a reference?"):
        assert '"finished"' in await shell.run("jobs", "show", reference)
    await all_settled(stack, telegram)
    assert (balances(stack)[gwen], balances(stack)[hugo]) == (1_250, 1_000)
    assert_audit_passes(stack)


def asked_job(stack: Stack) -> str:
    """The id of a job that was done just now."""
    done = [line for line in stack.log("main").splitlines() if '"job_done"' in line]
    return str(json.loads(done[-1])["job_id"])


async def test_jobs_queues_and_workers(
    stack: Stack, telegram: TelegramControl, make_settings: MakeSettings
) -> None:
    (ivan,) = await register(telegram, "Ivan", credit="1")
    engine = GuardedEngine(make_settings(database_url=stack.database_url, db_deadline_seconds=30))
    shell = Shell(stack)

    def fail(first: int) -> None:
        for number in range(first, first + FAILED):
            # In several lanes: one has room for LANE_LENGTH_MAX jobs.
            lane = f"desk:{ivan}:{number % 5}"
            envelope = Envelope.of(ShowBalance(telegram_id=ivan), job_id=f"desk-{number}", lane=lane)
            failed_operations.record(
                engine,
                job_id=envelope.job_id,
                kind=envelope.kind,
                reference=reference_of(envelope.job_id),
                telegram_id=ivan,
                error=f"ValueError: no row {number}",
                payload=envelope.model_dump(mode="json"),
            )

    try:
        await asyncio.to_thread(fail, 0)
        async with signed_in(stack) as phone:
            page = phone.page
            async with phone.task("retry 500 failed jobs"):
                await phone.tap(phone.link("Jobs"))
                await phone.tap(page.get_by_test_id("cause").get_by_role("button", name=f"Retry {FAILED}"))
                await phone.tap(phone.button(f"Retry {FAILED} failed jobs"))
                await expect(page.get_by_test_id("outcome")).to_have_text(f"{FAILED} queued again.")
            await all_settled(stack, telegram)
            async with phone.task("pause a queue"):
                await phone.tap(page.get_by_test_id("signal-jobs"))
                await phone.tap(page.get_by_role("button", name="Pause: users"))
                await phone.tap(page.get_by_test_id("confirm-go"))
                await expect(page.locator("#queues")).to_contain_text("paused by web:operator")
            await asyncio.sleep(5)  # every worker knows within four seconds
            await telegram.send_text(ivan, "/start")
            await telegram.wait_for_message(ivan, partial(says, "is saved"), timeout_seconds=60)
            async with phone.task("whose jobs wait, and for what?"):
                await phone.tap(phone.link("Jobs"))
                waiting = page.get_by_test_id("waiting-job")
                await expect(waiting).to_contain_text("users.get_or_create")
                await expect(waiting).to_contain_text("ivan")
            async with shell.task("whose jobs wait, and for what?"):
                assert str(ivan) in await shell.run("jobs", "waiting")
            async with phone.task("how long does the backlog take?"):
                await phone.tap(page.get_by_test_id("signal-jobs"))
                await expect(page.get_by_test_id("inbox-eta")).to_have_text("moments")
            async with shell.task("how long does the backlog take?"):
                assert "users" in await shell.run("queues", "list")
            await shell.run("queues", "resume", "users")
            async with phone.task("drain a worker"):
                await phone.tap(page.get_by_test_id("signal-workers"))
                main = page.get_by_test_id("fleet-worker").filter(has_text="main@")
                await phone.tap(main.get_by_role("button", name="Drain"))
                await phone.tap(page.get_by_test_id("confirm-go"))
                await expect(main).to_contain_text("It has no jobs left.")
        await shell.run("workers", "resume", f"main@{socket.gethostname()}")
        async with shell.task("drain a worker"):
            await shell.run("workers", "drain", f"light@{socket.gethostname()}", "--yes")
        await shell.run("workers", "resume", f"light@{socket.gethostname()}")
        async with shell.task("pause a queue"):
            await shell.run("queues", "pause", "users")
        await shell.run("queues", "resume", "users")
        await asyncio.to_thread(fail, FAILED)
        async with shell.task("retry 500 failed jobs"):
            said = await shell.run("jobs", "retry", "--kind", "balances.show", "--error", "no row", "--yes")
            assert str(FAILED) in said
        await all_settled(stack, telegram)
        assert failed_operations.count_open(engine) == 0
    finally:
        engine.dispose()


async def test_outages_settings_and_a_broadcast(
    shared_stack: Stack, stack: Stack, telegram: TelegramControl
) -> None:
    jane, karl = await register(telegram, "Jane", "Karl")
    at_work(shared_stack, *PROGRAMS, "bulk")
    shell = Shell(stack)
    for word in ("open", "auto"):
        done = await asyncio.to_thread(stack.command, "dbcore", "breaker", word)
        assert done.returncode == 0, done.stderr
        await asyncio.sleep(2)
    async with signed_in(stack) as phone:
        page = phone.page
        async with phone.task("tonight's outages"):
            await phone.tap(phone.link("Outages"))
            await expect(page.get_by_test_id("outage").first).to_contain_text("Pause")
        async with phone.task("a broadcast with a button, to a list"):
            await phone.tap(phone.link("Broadcasts"))
            await phone.tap(phone.link("New"))
            await phone.fill(page.get_by_label("Text", exact=True), "<b>News</b>")
            await phone.tap(page.get_by_text("Buttons", exact=True))
            await phone.fill(page.get_by_label("One per line"), "Look | https://example.org")
            await phone.tap(page.get_by_text("Lists", exact=True))
            await phone.fill(page.get_by_label("Telegram IDs", exact=True), f"{jane} {karl}")
            await phone.tap(phone.button("Start…"))
            await expect(page.get_by_test_id("confirm-dialog")).to_contain_text("Send it to 2 people?")
            await phone.tap(page.get_by_test_id("confirm-go"))
            await page.wait_for_url("**/broadcasts")
            await expect(page.get_by_test_id("broadcast").first).to_contain_text("2 of 2 sent")
            await expect(page.get_by_test_id("broadcast").first).to_contain_text("News")
    got = await telegram.wait_for_message(jane, partial(says, "News"), timeout_seconds=60)
    assert got.message["reply_markup"]["inline_keyboard"][0][0]["url"] == "https://example.org"
    async with shell.task("tonight's outages"):
        assert "pause by" in await shell.run("outages")
    async with shell.task("which options are set, and which are misspelt?"):
        (stack.current_folder / ".env").write_text("HEALTH_PROBE_SECOND=5\n")
        try:
            said = await shell.run("settings")
        finally:
            (stack.current_folder / ".env").unlink()
        assert "ROLE_LIMITS" in said and "HEALTH_PROBE_SECOND" in said and "token for tests" not in said
    async with shell.task("a broadcast with a button, to a list"):
        options = ("--text", "News code", "--button", "Look | https://example.org")
        await shell.run("broadcast", "start", *options, "--ids", str(jane), str(karl), "--yes")
    await telegram.wait_for_message(karl, partial(says, "News code"), timeout_seconds=60)
    await all_settled(stack, telegram)
    assert_audit_passes(stack)
