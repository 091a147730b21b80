"""The tests that its author has; tests/ballast/test_pytest_plugin.py runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ballast.testing import Telegram
from devstack.telegram.images import png

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("bot")]


@pytest.fixture(scope="session")
def bot(telegram: Telegram) -> Iterator[None]:
    argv = [sys.executable, str(Path(__file__).with_name("bot.py")), telegram.url, telegram.token]
    process = subprocess.Popen(argv, env=dict(os.environ))
    yield
    process.terminate()
    process.wait()


async def test_what_a_person_does(telegram: Telegram) -> None:
    anna = telegram.user("Anna", username="anna")
    anna.say("/start")
    question = await anna.reads("A lamp?")
    assert question.buttons == [("Yes, please", "yes")]
    assert await anna.press("Yes").toast() == "Noted"
    await anna.reads("You have a lamp.")  # edited, so it can be read again

    # Answers can be read in any order, and each is read once.
    anna.say("one")
    sent = anna.say("two")
    await anna.reads("Said: two")
    await anna.reads("Said: one")
    telegram.redeliver(sent)
    await anna.reads(re.compile(r"^Said: t.o$"))
    anna.edit(sent, "three")
    await anna.reads("Changed: three")

    anna.send_photo(caption="mine")
    await anna.reads("A picture: mine")
    anna.send_album([png(2, 2), png(3, 3)], "both")
    await anna.reads("A picture: both")
    await anna.reads("A picture: None")
    anna.send_video(b"film")
    await anna.reads("A film: video.mp4")
    anna.send_document(b"a,b\n", "list.csv")
    await anna.reads("A file: a,b")
    anna.send_location(52.5, 13.4)
    await anna.reads("You are at 52.5, 13.4.")
    anna.send_contact("+4930123456")
    await anna.reads("Your number is +4930123456.")

    anna.say("/buy")
    lamp, rug = await anna.reads("A lamp"), await anna.reads("A rug")
    assert await anna.check_out(rug) == "We have lamps only."
    assert await anna.check_out(lamp) is None
    anna.pay(lamp)
    await anna.reads("You paid 100 for lamp.")
    anna.pay(5, payload="nothing that was asked about")
    await anna.reads("You paid 5 for nothing")
    assert [message.text for message in anna.messages()][:1] == ["You have a lamp."]

    # A username goes to whoever is given it last; a blocked bot is answered no more.
    assert telegram.user("Another Anna", username="anna").id != anna.id
    anna.block()
    anna.unblock()
    async with telegram.unavailable():
        anna.say("four")
    await anna.reads("Said: four", within=120)  # its library waits longer after each failed try


async def test_what_people_do_in_a_group(telegram: Telegram) -> None:
    anna, boris = telegram.user("Anna"), telegram.user("Boris")
    group = telegram.group("Friends", anna, boris)
    offers, bills = group.topic("Offers"), group.topic("Bills")
    boris.say("/start", offers)
    question = await anna.reads("A lamp?", offers)
    assert await boris.press("Yes", question).toast() == "Noted"
    await anna.reads("You have a lamp.", group)
    boris.say("which one?", bills, reply_to=question)
    await anna.reads("Said: which one?", offers)
    assert anna.messages(bills) == []
    admin = telegram.admin()
    admin.say("hello")
    await admin.reads("Said: hello")
    assert anna.messages() == []


async def test_that_fails(telegram: Telegram) -> None:
    anna = telegram.user("Anna")
    anna.say("/start")
    await anna.reads("A lamp?")
    anna.say("a rug")
    await anna.reads("Said: a rug")
    await anna.reads("Which rug?", within=0.5)
