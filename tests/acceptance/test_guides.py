"""docs/quickstart.md and docs/extending.md work as they stand: their files, commands and conversations."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shlex
from pathlib import Path

import aiohttp

from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.acceptance.people import all_settled, assert_audit_passes, balances, say

BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n") for block in BLOCK.findall(text)]


def write_files(page: str, folder: Path) -> None:
    """Each block whose first line names a file goes to the end of it."""
    for block in blocks(page):
        named = re.match(r"# (\S+\.py)\n", block)
        if named is not None:
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(f"{block}\n\n\n")


async def converse(page: str, telegram: TelegramControl, person: int) -> None:
    """What stands behind `> ` is written to the bot, and the lines below it are its answers."""
    for block in blocks(page):
        for part in re.split(r"^> ", block, flags=re.MULTILINE)[1:] if block.startswith("> ") else []:
            said, *expected = part.strip().split("\n")
            sent = await telegram.send_text(person, said)
            after = sent.message.revision
            for text in expected:
                message = await telegram.wait_for_message(person, after=after)
                assert message.text == text
                after = message.revision


def run_commands(page: str, stack: Stack) -> None:
    """Of a block that begins with `$ ` the last line is one that the command prints."""
    for block in blocks(page):
        if block.startswith("$ "):
            command, expected = block.split("\n")
            done = stack.command(*shlex.split(command.removeprefix("$ ").removeprefix("python -m ")))
            assert done.returncode == 0, done.stdout + done.stderr
            assert expected in done.stdout.splitlines()


async def pay(telegram: TelegramControl, stack: Stack, person: int, secret: str) -> None:
    """Send what the guide's provider sends, as often as a provider that is not sure."""
    event = json.dumps({"id": "evt_1", "type": "paid", "user": person, "minor": 700}).encode()
    headers = {"X-Signature": hmac.new(secret.encode(), event, hashlib.sha256).hexdigest()}
    url = f"http://127.0.0.1:{stack.ops_port}/apps/shop/payments"
    async with aiohttp.ClientSession() as http:
        for given, expected in ((headers, 200), ({"X-Signature": "0"}, 400), (headers, 200)):
            async with http.post(url, data=event, headers=given) as answer:
                assert answer.status == expected
    await telegram.wait_for_message(
        person, lambda message: message.text == "You paid 7.00 CREDIT. You have 13.00 CREDIT."
    )


async def test_the_quickstart_works(make_stack: MakeStack, telegram: TelegramControl) -> None:
    stack = make_stack(BALLAST_APPS="shop")
    write_files("quickstart.md", stack.folder)
    lines = [line for line in (stack.folder / "shop.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 20
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    await converse("quickstart.md", telegram, (await telegram.create_user("Ann")).id)
    await all_settled(stack, telegram)
    assert_audit_passes(stack)


async def test_each_step_of_the_guide_works(make_stack: MakeStack, telegram: TelegramControl) -> None:
    secret = "the provider's and ours"
    stack = make_stack(BALLAST_APPS="shop.bot", SHOP_GREETING="Good day", SHOP_PAYMENTS_SECRET=secret)
    write_files("extending.md", stack.folder)
    assert stack.command("ballast", "migrate").returncode == 0
    stack.start("frontend", "main", "light")
    stack.wait_ready(processes=3)
    ann = (await telegram.create_user("Ann")).id
    await converse("extending.md", telegram, ann)
    asked = await say(telegram, ann, "/rate lamp")
    await telegram.press_button(ann, asked, "★★★")
    rated = await telegram.wait_for_message(ann, lambda message: message.text == "You gave lamp 3 stars.")
    assert rated.message_id == asked.message_id
    await pay(telegram, stack, ann, secret)
    await all_settled(stack, telegram)
    assert balances(stack)[ann] == 1300  # what the provider sent twice is paid once
    bob = (await telegram.create_user("Bob")).id
    await say(telegram, bob, "/start")
    card = await say(telegram, ann, f"/pay {bob} 1.00")
    await telegram.press_button(ann, card, "Yes, pay")
    await telegram.wait_for_message(
        ann, lambda message: message.text == "You get 0.05 CREDIT back, and have 12.05 CREDIT."
    )
    await all_settled(stack, telegram)
    assert (balances(stack)[ann], balances(stack)[bob]) == (1205, 100)
    run_commands("extending.md", stack)
    assert_audit_passes(stack)
