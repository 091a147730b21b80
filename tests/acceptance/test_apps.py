"""How an app's jobs run and end, with the real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from ballast.apps.buttons import AppButtons, PressedJob
from ballast.builtin import button_data
from ballast.builtin.broadcasts import ChooseBroadcasts
from ballast.builtin.jobs import MEMO_LENGTH_MAX
from ballast.builtin.status import ShowDatabaseStatus
from ballast.builtin.transfers import CreateTransfer, DecideTransfer
from ballast.inbox.limits import UNKNOWN_KIND_SECONDS
from ballast.status import counters
from devstack.stack import ADMIN_ID, Stack
from devstack.telegram.control import TelegramControl
from devstack.telegram.control_objects import SeenMessage
from tests.acceptance.conftest import MakeStack
from tests.harness.people import (
    all_settled,
    answers,
    assert_audit_passes,
    assert_shown,
    balances,
    pause,
    queue_task,
    register,
    resume,
    say,
)

Hurried = Callable[[Callable[[], bool], str], Awaitable[None]]
"""Until it is done, with the waits between the tries of a job made short."""

FAILED = "Sorry, something went wrong on our side."


async def converse(stack: Stack, telegram: TelegramControl, ann: int) -> None:
    """Questions that handlers ask, one after the other, whatever comes in between."""
    where = "Where to with <lamp>? Send /cancel to stop."
    seen = await say(telegram, ann, "/move lamp")
    assert seen.text == "Let us see."
    asked = await telegram.wait_for_message(ann, lambda message: message.text == where, after=seen.revision)
    assert asked.keyboard is not None
    assert asked.keyboard["keyboard"] == [[{"text": "cellar"}], [{"text": "attic"}]]
    wrong = await say(telegram, ann, "garden")
    assert (wrong.text, wrong.keyboard) == (f"PLACE: I expected cellar or attic. {where}", asked.keyboard)
    assert (await say(telegram, ann, "/refuse")).text == "Not <today>."
    stack.kill("frontend")
    stack.start("frontend")
    assert (
        await say(telegram, ann, "attic")
    ).text == "NUMBER, please: how many, 1 to 9. Send /cancel to stop."
    assert (await say(telegram, ann, "many")).text == (
        "NUMBER: I expected how many, 1 to 9. NUMBER, please: how many, 1 to 9. Send /cancel to stop."
    )


async def leave(stack: Stack, telegram: TelegramControl, ann: int) -> None:
    await say(telegram, ann, "/move chair")
    await all_settled(stack, telegram)
    assert (await say(telegram, ann, "/cancel")).text == "Cancelled."
    assert (
        await say(telegram, ann, "attic")
    ).text == "Sorry, I only understand commands. Send /help to see them."


async def converse_in_a_group(telegram: TelegramControl, ann: int, bob: int) -> None:
    """The answer is a reply, and only by the person who is asked."""
    group = (await telegram.create_group("Movers", [ann, bob], supergroup=True)).id

    async def answered(whom: int, text: str, to: SeenMessage | None = None) -> SeenMessage:
        sent = await telegram.send_text(
            whom, text, chat_id=group, reply_to_message_id=None if to is None else to.message_id
        )
        return await telegram.wait_for_message(
            group, lambda message: "private chat" not in message.text, after=sent.message.revision
        )

    asked = await answered(ann, "/move chair")
    assert asked.keyboard == {"force_reply": True, "selective": True}
    await telegram.send_text(bob, "cellar", chat_id=group, reply_to_message_id=asked.message_id)
    number = await answered(ann, "attic", asked)
    assert number.text == "NUMBER, please: how many, 1 to 9. Send /cancel to stop."
    assert (await answered(ann, "2", number)).text == "2 chair in the attic, yours."


APPS = "tests.acceptance.corner_shop:app"


async def taken_by_the_release_before(stack: Stack, telegram: TelegramControl, ann: int) -> None:
    """Jobs that a frontend without the toll takes, and that wait for workers with it."""
    stack.start("frontend")
    await telegram.send_text(ann, "/balance")
    await telegram.send_text(ADMIN_ID, "/dbstatus")
    await telegram.wait_until_acknowledged()
    stack.stop("frontend")
    stack.env["BALLAST_APPS"] = f"{APPS},tests.acceptance.toll:app"


async def is_switched_off(stack: Stack, telegram: TelegramControl, hurried: Hurried) -> None:
    """What waits of a kind that an app switches off waits for workers that know it, and not forever."""
    switched_off = f'"kind":"{ShowDatabaseStatus.kind}"'.encode()

    def noted() -> list[str]:
        keys = [bytes(key).decode() for key in stack.redis.keys("ballast:inbox:job:*")]  # type: ignore[arg-type]  # not decoded
        records = {key: stack.redis.hgetall(key) for key in keys}
        return [
            key
            for key, record in records.items()
            if b"unknown_since" in record and switched_off in record[b"envelope"]
        ]

    await hurried(lambda: len(noted()) == 1, "a worker was handed it")
    stack.redis.hincrby(noted()[0], "unknown_since", -1000 * UNKNOWN_KIND_SECONDS)
    await hurried(lambda: bool(stack.query("SELECT 1 FROM failed_operations")), "it has failed")
    await telegram.wait_for_message(ADMIN_ID, lambda message: message.text.startswith(FAILED))
    unknown = await say(telegram, ADMIN_ID, "/dbstatus")
    assert unknown.text.startswith("I do not know /dbstatus.")


async def pay_a_toll(stack: Stack, telegram: TelegramControl, ann: int, bob: int) -> None:
    """Jobs of Ballast's own that an app does in its way, by Ballast's."""
    await say(telegram, bob, "/start")
    before = balances(stack)
    card = await say(telegram, ann, f"/send {bob} 0.02 for lunch")
    assert "for lunch (toll 0.10 CREDIT)" in card.text
    await telegram.press_button(ann, card, "Yes, pay")
    told = await telegram.wait_for_message(ann, lambda message: message.text.startswith("Toll 0.10 CREDIT."))
    done = await telegram.wait_for_message(ann, lambda message: message.message_id == card.message_id)
    assert done.buttons == []
    await telegram.wait_for_message(bob, lambda message: "sent you" in message.text)
    await all_settled(stack, telegram)
    after = balances(stack)
    assert (after[ann], after[bob]) == (before[ann] - 12, before[bob] + 2)
    assert told.text.endswith(f"You have 0.0{after[ann]} CREDIT.")
    card = await say(telegram, ann, f"/send {bob} 0.01")
    await telegram.press_button(ann, card, "Cancel")
    await telegram.wait_for_message(ann, lambda message: message.text.startswith("Cancelled"))
    history = await say(telegram, ann, "/history")
    await assert_shown(telegram, ann, history, button_data.history(ann, 1), "This button no longer works")

    # An operator's credit and a payment, each once though the first attempt ends after it.
    before = balances(stack)
    queue_task(
        stack, "workers.balances.adjust", {"telegram_id": bob, "amount": 10, "idempotency_key": "twice-ten"}
    )
    await telegram.wait_for_message(bob, lambda message: message.text == "Doubled.")
    await telegram.pay(bob, 100, "charge-1")
    await telegram.wait_for_message(bob, lambda message: message.text == "100 Stars are 1.00 CREDIT.")
    await all_settled(stack, telegram)
    assert balances(stack)[bob] == before[bob] + 20 + 100
    told_bob = await answers(telegram, bob)
    assert sum("You were credited 0.20 CREDIT" in text for text in told_bob) == 1
    receipt = "We received your payment of 100 Telegram Stars.\nCharge ID: charge-1"
    assert [text for text in told_bob if "charge-1" in text] == [receipt], "what the app does is not denied"
    assert stack.query("SELECT count(*) FROM payment_events WHERE telegram_id = %s", bob) == [(1,)]
    alarm = await telegram.wait_for_message(ADMIN_ID, lambda message: "charge-1" in message.text)
    assert alarm.text.endswith("paid 100 Telegram Stars.\nCharge ID: charge-1")

    asked = await say(telegram, ADMIN_ID, f"/credit {bob} 5")
    assert asked.text == f"Asked by {ADMIN_ID}."
    assert sum("charge-1" in text for text in await answers(telegram, ADMIN_ID)) == 1
    stack.start("bulk")
    await telegram.send_text(ADMIN_ID, "/broadcast News")
    await telegram.wait_for_message(ADMIN_ID, lambda message: message.text == "Read it twice.")
    drawn_up = [
        text for text in await answers(telegram, ADMIN_ID) if text in {"News", "A draft:", "Read it twice."}
    ]
    assert drawn_up == ["News", "A draft:", "Read it twice."], "the preview is sent before any answer"
    stack.stop("bulk")


async def misuse_what_is_built_in(
    stack: Stack, telegram: TelegramControl, bob: int, hurried: Hurried
) -> None:
    """Nobody is told what is not so, and the failed job says what is wrong."""
    (ben,) = await register(telegram, "Ben")
    queue_task(stack, "workers.balances.adjust", {"telegram_id": ben, "amount": 50})
    await telegram.wait_for_message(ben, lambda message: message.text == "Doubled.")

    def failed(kind: str) -> str:
        rows = stack.query("SELECT error FROM failed_operations WHERE kind = %s ORDER BY id", kind)
        return str(rows[-1][0]) if rows else ""

    # Other fields at the second attempt, after the first has moved the money.
    card = await say(telegram, ben, f"/send {bob} 0.05")
    before = balances(stack)
    await telegram.press_button(ben, card, "Yes, pay")
    await hurried(lambda: bool(failed(DecideTransfer.kind)), "each attempt has raised")
    assert "they must be the same in each attempt" in failed(DecideTransfer.kind)
    await telegram.wait_for_message(ben, lambda message: message.text.startswith(FAILED))
    assert (balances(stack)[ben], balances(stack)[bob]) == (before[ben] - 5, before[bob] + 5)
    assert not any("No money was" in text for text in await answers(telegram, ben))

    # Fields that no job can have.
    memo = "x" * MEMO_LENGTH_MAX
    assert (await say(telegram, ben, f"/send {bob} 0.05 {memo}")).text.startswith(FAILED)
    assert "ctx.built_in: workers.transactions.create: memo: String should have at most" in failed(
        CreateTransfer.kind
    )
    assert memo not in failed(CreateTransfer.kind)

    # What writes, in a function that said that it only reads.
    assert (await say(telegram, ben, "/stop")).text.startswith(FAILED)
    assert "database='read': ctx.built_in needs database='write'" in failed(ChooseBroadcasts.kind)

    # A refusal by the app, though something was done.
    assert "refused_after_effects" not in stack.log("main")
    assert (await say(telegram, ADMIN_ID, f"/credit {ben} 5 forbidden")).text == "Not for that."
    assert "refused_after_effects" in stack.log("main")


async def test_an_app_s_commands_and_jobs_run_once_and_end_as_they_say(
    make_stack: MakeStack, telegram: TelegramControl
) -> None:
    stack = make_stack(BALLAST_APPS=APPS, CORNER_GREETING="Good day")
    stack.query("CREATE TABLE corner_counts (what text PRIMARY KEY, n int NOT NULL); SELECT 1")

    def counted(what: str) -> int:
        rows = stack.query("SELECT n FROM corner_counts WHERE what = %s", what)
        return int(rows[0][0]) if rows else 0

    async def until(done: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            for waiting in stack.redis.zrange(
                "ballast:inbox:due", 0, -1
            ):  # the waits between tries, made short
                stack.redis.zadd("ballast:inbox:due", {bytes(waiting): 0}, xx=True)  # type: ignore[arg-type]  # not decoded
            return done()

        await asyncio.to_thread(stack.wait_until, look, what)

    ann = (await telegram.create_user("Ann")).id
    await taken_by_the_release_before(stack, telegram, ann)
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    await telegram.wait_for_message(ann, lambda message: message.text == "Ann has 0.00 CREDIT.")
    await is_switched_off(stack, telegram, until)
    await say(telegram, ADMIN_ID, "/start")

    # Replies: text, HTML; a coroutine; a built-in that is replaced; what only admins have.
    await telegram.send_text(ann, "/hello Bo")
    await telegram.wait_for_message(ann, lambda message: message.text == "Bye")
    assert "Good day <Bo> & Ann" in await answers(telegram, ann)
    assert (await say(telegram, ann, "/help")).text == "Ask at the counter."
    assert (await say(telegram, ann, "/close")).text.startswith("I do not know /close.")
    assert (await say(telegram, ADMIN_ID, "/close")).text == "Closed."
    assert {"close", "give"} <= {entry["command"] for entry in await telegram.menu(ADMIN_ID)}
    assert "close" not in {entry["command"] for entry in await telegram.menu(ann)}

    # A command that returns a job: each part and the job once, though the update comes again.
    sent = await telegram.send_text(ann, "/give 5")
    await telegram.wait_for_message(
        ann, lambda message: message.text == "A gift: 0.05 CREDIT, you have 0.05 CREDIT."
    )
    assert sent.update_id is not None
    await telegram.redeliver(sent.update_id)
    await all_settled(stack, telegram)
    assert [counted(what) for what in ("gifts", "gifts, again", "given")] == [1, 1, 1]
    assert balances(stack)[ann] == 5

    # A job that is part of a commit; and two that the release before left there, under the kind that it had then. What
    # is refused and nobody waits for is a failed job.
    for person in (999, ann):
        stack.query(
            "INSERT INTO outbox (kind, payload, telegram_id) VALUES ('corner.gift', %s, %s) RETURNING id",
            json.dumps({"telegram_id": person, "minor": 3}),
            person,
        )
    await telegram.send_text(ann, "/promise")
    for text in (
        "A gift: 0.03 CREDIT, you have 0.08 CREDIT.",
        "A gift: 0.07 CREDIT, you have 0.15 CREDIT.",
    ):
        await telegram.wait_for_message(ann, lambda message, text=text: message.text == text)  # type: ignore[misc]
    await all_settled(stack, telegram)

    # Attempts, Snooze, Discard, Refuse and what goes wrong.
    async def fetched(how: str) -> str:
        known = len(await answers(telegram, ann))
        await telegram.send_text(ann, f"/fetch {how}")
        await telegram.wait_until_acknowledged()
        await until(lambda: stack.redis.zcard("ballast:inbox:all") == 0, f"{how} is fetched or not")
        texts = await answers(telegram, ann)
        assert len(texts) == known + 1
        return texts[-1]

    assert await fetched("flaky") == "Fetched flaky at attempt 3."
    assert await fetched("late") == "Fetched late at attempt 1."
    for how in ("broken", "never", "wrong"):
        assert (await fetched(how)).startswith(FAILED)
    assert (await say(telegram, ann, "/refuse")).text == "Not <today>."
    assert (await say(telegram, ann, "/twice")).text.startswith(FAILED)
    assert (counted("refused"), counted("twice")) == (0, 1)
    letters = stack.query("SELECT kind, error FROM failed_operations ORDER BY id")
    assert [kind for kind, _ in letters] == [
        ShowDatabaseStatus.kind,
        "corner.gift",
        "corner.fetch",
        "corner.fetch",
        "corner.fetch",
        "corner.command.twice",
    ]
    assert letters[0][1].startswith(f"no worker knows the kind '{ShowDatabaseStatus.kind}'")
    assert letters[1][1].startswith("Discard: refused, and nobody waits for the answer: ")
    assert [error.partition(":")[0] for _, error in letters[2:]] == [
        "TimeoutError",
        "Discard",
        "UsageError",
        "UsageError",
    ]

    # In order by a field: what waits for its next attempt is before what others asked for later.
    bob = (await telegram.create_user("Bob")).id
    await telegram.send_text(ann, "/pack top 2")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: stack.redis.hget(counters.KEY, "jobs_accepted|corner.pack") == b"1",
        "Ann's job is on record",
    )
    await telegram.send_text(bob, "/pack top 0")
    await telegram.wait_for_message(ann, lambda message: message.text == "Packed as number 1.")
    await telegram.wait_for_message(bob, lambda message: message.text == "Packed as number 2.")

    # A deadline: nothing is begun after it, and who asked is told.
    for how in ("later", "in vain"):
        assert (await say(telegram, bob, f"/hurry {how}")).text.startswith(FAILED)
    hurried = "SELECT error FROM failed_operations WHERE kind = 'corner.hurry' ORDER BY id"
    assert [error.partition(":")[0] for (error,) in stack.query(hurried)] == [
        "not done by its deadline",
        "TimeoutError",
    ]

    # Ballast's own jobs.
    await pay_a_toll(stack, telegram, ann, bob)
    await misuse_what_is_built_in(stack, telegram, bob, until)

    # What handlers ask. The last answer comes while the database is unavailable, below.
    await converse(stack, telegram, ann)
    await converse_in_a_group(telegram, ann, bob)

    # Buttons: once, however often they are pressed, and only by the person they are for.
    shown = await say(telegram, ann, "/menu")
    data = shown.buttons[0][1]
    his = await say(telegram, bob, "/menu")
    await assert_shown(telegram, bob, his, data, "belongs to somebody else")
    await telegram.press_button(ann, shown, "One")
    picked = await telegram.wait_for_message(ann, lambda message: message.text == f"{ann} picked 1.")
    await assert_shown(telegram, ann, shown, data, "You already pressed this")
    stack.redis.delete(*stack.redis.keys("ballast:inbox:done:*"))  # as after some days
    await telegram.press_button(ann, shown, "One")
    await telegram.wait_for_message(
        ann, lambda message: message.text == f"{ann} picked 1.", after=picked.revision
    )
    assert counted("picked 1") == 1
    await telegram.press_button(ann, shown, "Two")
    edited = await telegram.wait_for_message(ann, lambda message: message.text == f"{ann} picked 2.")
    assert edited.message_id == shown.message_id
    await telegram.press_button(ann, edited, "Again")
    await until(lambda: counted("picked 1") == 2, "the next button is another one")
    await all_settled(stack, telegram)
    stack.redis.delete(*stack.redis.keys("ballast:button:*"))
    await assert_shown(telegram, ann, edited, edited.buttons[0][1], "This button no longer works")

    # A button of the release before.
    old = PressedJob(kind="corner.gift", fields={"telegram_id": ann, "minor": 1}, owner_id=ann)
    AppButtons(stack.redis).keep("0" * 32, old)
    await telegram.press(ann, edited.message_id, button_data.app("0" * 32), force=True)
    await telegram.wait_for_message(
        ann, lambda message: message.text == "A gift: 0.01 CREDIT, you have 0.04 CREDIT."
    )

    # While the database is unavailable: what was answered last, to this person and for these arguments.
    menu = await say(telegram, ann, "/menu")
    await telegram.send_text(ann, "/shelf top")
    full = await telegram.wait_for_message(ann, lambda message: message.text == "top <full>")
    when = await telegram.wait_for_message(ann, after=full.revision)
    await all_settled(stack, telegram)
    await pause(stack)
    answer = await telegram.send_text(ann, "3")
    told = await telegram.wait_for_message(ann, after=answer.message.revision)
    assert "Your request is saved, and I'll write to you here as soon as it is back." in told.text
    said = await say(telegram, ann, "/shelf top")
    assert "UTC the answer was as follows. I can't check it right now because the bot is paused" in said.text
    await telegram.wait_for_message(ann, lambda message: message.text == when.text, after=said.revision)
    for person, what in ((ann, "bottom"), (bob, "top")):
        assert "Your /shelf is saved" in (await say(telegram, person, f"/shelf {what}")).text
    # A press has its place among the commands, also if its button's job is queued only once those before it are done.
    known = (await telegram.messages(ann))[-1].revision
    await telegram.press_button(ann, menu, "One")
    told = await telegram.wait_for_message(ann, after=known)
    assert "Your request is saved" in told.text
    assert "Your /picked is saved" in (await say(telegram, ann, "/picked")).text
    await resume(stack)
    await telegram.wait_for_message(ann, lambda message: message.text == "One was picked 3 times.")
    await telegram.wait_for_message(ann, lambda message: message.text == "3 lamp in the attic, yours.")
    await telegram.wait_for_message(ann, lambda message: message.text == "bottom <full>")
    await telegram.wait_for_message(bob, lambda message: message.text == "top <full>")
    assert answer.update_id is not None
    await telegram.redeliver(answer.update_id)
    await all_settled(stack, telegram)
    assert counted("moved lamp") == 1
    await leave(stack, telegram, ann)

    # Once for each time that somebody asks for it by name.
    tidied = "SELECT count(*), max(n) FROM corner_counts WHERE what LIKE 'tidied %%'"
    for name in ("tidy", "corner.every.tidy"):
        assert stack.command("ballast", "jobs", "run", name).returncode == 0
    await all_settled(stack, telegram)
    assert stack.query(tidied) == [(2, 1)]
    refused = stack.command("ballast", "jobs", "run", "sweep")
    assert (refused.returncode, refused.stderr) == (
        1,
        "ballast: expected one of corner.every.tidy, toll.every.watch; got 'sweep'\n",
    )

    # Once in each period, whoever asks, and however often.
    stack.start("beat")
    second = stack.program("beat")
    second.argv[second.argv.index("-s") + 1] += "-2"
    stack.run("beat-2", second)
    await until(lambda: bool(stack.query(tidied)[0][0] >= 5), "three periods are over")
    stack.stop("beat")
    stack.stop("beat-2")
    await all_settled(stack, telegram)
    assert counted("watched") == 1, "by the app's function, in place of Ballast's own"
    (periods, most), seconds = stack.query(tidied)[0], stack.redis.info("server")["uptime_in_seconds"]
    assert most == 1
    assert periods <= seconds
    assert_audit_passes(stack)
