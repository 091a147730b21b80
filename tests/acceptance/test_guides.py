"""docs/quickstart.md and docs/extending.md work as they stand: their files, commands and conversations."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import shlex
import subprocess
from pathlib import Path

import aiohttp

from devstack.stack import ROOT, Stack
from devstack.telegram.control import TelegramControl
from tests.acceptance.conftest import MakeStack
from tests.harness.people import all_settled, assert_audit_passes, balances, pause, resume, say

BLOCK = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


def blocks(page: str, section: str = "") -> list[str]:
    """Of the whole page, or of the part below this heading and above the next one of a section."""
    text = (ROOT / "docs" / page).read_text()
    if section:
        (text,) = re.findall(rf"^#+ {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n") for block in BLOCK.findall(text)]


def write_files(page: str, folder: Path, section: str = "") -> None:
    """Each block whose first line names a file goes to the end of it. A line behind `- ` is removed from the file."""
    for block in blocks(page, section):
        named = re.match(r"# (\S+\.py)\n", block)
        if named is not None:
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text() if path.exists() else ""
            for line in re.findall(r"^- (.+\n?)", block, flags=re.MULTILINE):
                assert line.strip() in text.splitlines()
                text = text.replace(f"{line.strip()}\n", "")
            added = re.sub(r"^- .+\n?", "", block, flags=re.MULTILINE)
            path.write_text(f"{text}{added}\n\n\n")


async def converse(page: str, telegram: TelegramControl, person: int, section: str = "") -> None:
    """What stands behind `> ` is written to the bot, or pressed if it is a [button]; the answers follow."""
    for block in blocks(page, section):
        for part in re.split(r"^> ", block, flags=re.MULTILINE)[1:] if block.startswith("> ") else []:
            said, *expected = part.strip().split("\n")
            after = await _say_or_press(telegram, person, said)
            for text in expected:
                message = await telegram.wait_for_message(person, after=after)
                assert message.text == text
                after = message.revision


async def _say_or_press(telegram: TelegramControl, person: int, said: str) -> int:
    """Returns the revision after which the answers come."""
    if not said.startswith("["):
        return (await telegram.send_text(person, said)).message.revision
    there = await telegram.messages(person)
    message = [message for message in there if message.buttons][-1]
    await telegram.press_button(person, message, said.strip("[]"))
    return max(message.revision for message in there)


def run_commands(page: str, stack: Stack, section: str = "") -> None:
    """Of a block that begins with `$ ` the last line is one that the command prints."""
    for block in blocks(page, section):
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


def answer_to_a_script(page: str, telegram: TelegramControl) -> str:
    """What the page's requests by curl print, of which the last one waits for the bot."""
    (script,) = [block for block in blocks(page) if block.startswith("telegram=")]
    script = script.replace("http://127.0.0.1:8081", telegram.url)
    return subprocess.check_output(["bash", "-ec", script], text=True, timeout=60)


async def subscribe(stack: Stack, telegram: TelegramControl, person: int) -> None:
    """Subscribers are known as such in an outage too; of others it is not known, and that is said."""
    offered = await say(telegram, person, "/report")
    assert offered.text.startswith("This is for subscribers: https://t.me/$local")
    await telegram.subscribe(person, offered.text.rsplit(" ", 1)[1], "charge-of-the-guide")
    await telegram.wait_for_message(person, lambda message: message.text == "Welcome to Premium!")
    await all_settled(stack, telegram)
    other = (await telegram.create_user("Other")).id
    await pause(stack)
    await asked_until(telegram, other, "I cannot look up your subscription")
    assert (await say(telegram, person, "/report")).text == "The long report."
    await resume(stack)
    await asked_until(telegram, other, "This is for subscribers")
    await all_settled(stack, telegram)


async def asked_until(telegram: TelegramControl, person: int, answer: str) -> None:
    """The worker that answers is yet to hear how the database is."""
    async with asyncio.timeout(60):
        while not (await say(telegram, person, "/report")).text.startswith(answer):
            await asyncio.sleep(0.2)


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
    stack = make_stack(
        BALLAST_APPS="shop.bot",
        SHOP_GREETING="Good day",
        SHOP_PAYMENTS_SECRET=secret,
        STARS_SUPPORT="Write to @us",
        STARS_TERMS="Be kind.",
        STARS_SUBSCRIPTIONS="premium:250:Premium",
    )
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
    assert "lamp: 1.50 CREDIT" in answer_to_a_script("extending.md", telegram)
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
    await telegram.send_location(bob, 52.5, 13.4)
    await telegram.wait_for_message(
        bob, lambda message: message.text == "We come to 52.5. You have 1.50 CREDIT."
    )
    run_commands("extending.md", stack)
    await subscribe(stack, telegram, bob)
    assert_audit_passes(stack)
