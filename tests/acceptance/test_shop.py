"""examples/shop as its reader has it: copied out, with Ballast's wheel in an environment of its own."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from devstack.postgres import EmbeddedPostgres
from devstack.proxy import FaultProxy, On, Rule, Side, Silence, frozen_server
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, answers, balances, say
from tests.harness.servers import running_postgres
from tests.harness.wheels import Installed, copy_example

GOODS = """
INSERT INTO shop.vouchers VALUES ('HELLO5', 500, 10), ('AGAIN1', 100, 10), ('LATER2', 200, 10), ('LAST9', 900, 0);
INSERT INTO shop.items VALUES ('lamp', 150);
INSERT INTO shop.stock (item, secret) VALUES ('lamp', 'KEY-1'), ('lamp', 'KEY-2');
"""


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    with running_postgres(servers_folder, durable=False, migrated=False) as server:
        yield server


def do(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = psycopg2.connect(postgres.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


async def until(stack: Stack, condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(stack.wait_until, condition, what)


async def test_each_order_takes_effect_once_though_workers_die_and_the_database_freezes(
    make_stack: MakeStack, telegram: TelegramControl, own_postgres: EmbeddedPostgres, installed: Installed
) -> None:
    with FaultProxy("127.0.0.1", own_postgres.port, login=own_postgres.login) as proxy:
        stack = make_stack(
            database_url=proxy.url_of("ballast"),
            BALLAST_APPS="shop.bot",
            DB_DEADLINE_SECONDS="1.5",
            HEALTH_PROBE_SECONDS="1",
        )
        del stack.env["PYTHONPATH"]
        copy_example("shop", installed, stack.folder)

        def ballast(command: str) -> subprocess.CompletedProcess[str]:
            return installed.run(installed.ballast, command, cwd=stack.folder, **stack.env)

        def start(*names: str) -> None:
            for name in names:
                program = stack.program(name)
                stack.run(name, replace(program, argv=[installed.python, *program.argv[1:]]))

        migrated = ballast("migrate")
        assert migrated.stdout.splitlines()[-1:] == ["The tables of shop are at revision 0002."], (
            migrated.stderr
        )
        assert ballast("migrate").stdout == migrated.stdout  # again changes nothing
        do(own_postgres, GOODS)
        start("frontend", "main", "light", "beat")
        stack.wait_ready(processes=3)
        ann = (await telegram.create_user("Ann")).id

        # The menu, /help, and words that do not fit.
        menu = {entry["command"] for entry in await telegram.menu(ann)}
        assert {"redeem", "items", "buy", "balance"} <= menu
        assert "/redeem – Redeem a voucher: /redeem CODE" in (await say(telegram, ann, "/help")).text
        what = "a code of at most 40 characters, such as HELLO5"
        question = f"CODE, please: {what}. Send /cancel to stop."
        assert (await say(telegram, ann, "/redeem")).text == question
        assert (await say(telegram, ann, "x" * 41)).text == f"CODE: I expected {what}. {question}"
        assert (await say(telegram, ann, "/balance")).text == "Your balance is 0.00 CREDIT."
        assert (await say(telegram, ann, "nonsense")).text == "I do not know that code."
        await say(telegram, ann, "/redeem")
        assert (await say(telegram, ann, "/cancel")).text == "Cancelled."
        assert "Sorry, I only understand commands" in (await say(telegram, ann, "nonsense")).text

        # Once, though she has never said /start, and though the update comes again.
        sent = await telegram.send_text(ann, "/redeem hello5")
        answer = await telegram.wait_for_message(ann, after=sent.message.revision)
        assert answer.text == "Redeemed: 5.00 CREDIT. You have 5.00 CREDIT."
        assert sent.update_id is not None
        await telegram.redeliver(sent.update_id)
        assert (await say(telegram, ann, "/redeem hello5")).text == "You used that code before."
        assert (await say(telegram, ann, "/redeem last9")).text == "That code is used up."
        assert (await say(telegram, ann, "/items")).text == "lamp: 1.50 CREDIT, 2 left"
        await telegram.send_text(ann, "/buy lamp")
        await telegram.wait_for_message(ann, lambda message: message.text == "You have 3.50 CREDIT.")
        assert "Yours: KEY-1" in await answers(telegram, ann)

        # Killed when the COMMIT was done and nobody had heard of it.
        placed = proxy.add(Rule(On(Side.SERVER, kind="C", statement="INSERT INTO effects"), Silence()))
        await telegram.send_text(ann, "/redeem again1")
        await until(stack, lambda: placed.struck > 0, "the commit is under way")
        stack.kill("main")
        proxy.sever()
        start("main")
        await telegram.wait_for_message(ann, lambda message: "Redeemed: 1.00" in message.text)
        await all_settled(stack, telegram)
        assert balances(stack)[ann] == 450

        # Frozen: one is queued, one answers by default, one is refused.
        assert own_postgres.pid is not None
        with frozen_server(own_postgres.pid):
            await telegram.send_text(ann, "/redeem later2")
            await telegram.wait_for_message(
                ann, lambda message: "Your /redeem is saved, and I'll answer it here" in message.text
            )
            assert (await say(telegram, ann, "/items")).text == "The shop opens again soon."
            assert (await say(telegram, ann, "/buy lamp")).text == (
                "We have a technical problem, so /buy was not done. Please send it again later."
            )
        await telegram.wait_for_message(ann, lambda message: "Redeemed: 2.00" in message.text)
        await all_settled(stack, telegram)
        said = await answers(telegram, ann)
        assert [sum(f"Redeemed: {amount}" in text for text in said) for amount in ("5.", "1.", "2.")] == [
            1,
            1,
            1,
        ]
        assert not [text for text in said if "is saved" in text]  # the answer took its place

        await until(stack, stack.says_the_database_is_well, "the frontend knows that the database is back")

        # Frozen in the middle of a purchase that was committed: it is not refused as one that was not done.
        placed = proxy.add(Rule(On(Side.SERVER, kind="C", statement="INSERT INTO effects"), Silence()))
        sent = await telegram.send_text(ann, "/buy lamp")
        await until(stack, lambda: placed.struck > 0, "the commit is under way")
        with frozen_server(own_postgres.pid):
            proxy.sever()
            await telegram.wait_for_message(ann, lambda message: "Your /buy is saved" in message.text)
        await telegram.wait_for_message(
            ann, lambda message: message.text == "You have 5.00 CREDIT.", after=sent.message.revision
        )
        await all_settled(stack, telegram)
        said = await answers(telegram, ann)
        assert said.count("Yours: KEY-2") == 1
        assert sum("/buy was not done" in text for text in said) == 1

        # A payment that a provider reported, found by the sweep.
        do(own_postgres, f"INSERT INTO shop.top_ups (telegram_id, minor) VALUES ({ann}, 1000)")
        await telegram.wait_for_message(
            ann, lambda message: message.text == "Topped up: 10.00 CREDIT. You have 15.00 CREDIT."
        )
        await all_settled(stack, telegram)

        assert stack.query("SELECT count(*), sum(minor) FROM shop.redeemed") == [(3, 800)]
        assert stack.query("SELECT sum(10 - \"left\") FROM shop.vouchers WHERE code <> 'LAST9'") == [(3,)]
        assert stack.query("SELECT count(*) FROM shop.stock WHERE buyer IS NOT NULL") == [(2,)]
        assert balances(stack)[ann] == 1500
        audit = ballast("audit")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert "ok    shop: each redeemed voucher was credited (3 checked)" in audit.stdout

        # What the audit is there for.
        do(own_postgres, "UPDATE shop.redeemed SET minor = minor + 1 WHERE code = 'HELLO5'")
        audit = ballast("audit")
        assert audit.returncode == 1
        assert "FAIL  shop: each redeemed voucher was credited" in audit.stdout
