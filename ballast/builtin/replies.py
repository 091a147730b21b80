"""Answers that need no database, /help among them, and the buttons of apps."""

from __future__ import annotations

from pydantic import Field

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import UserJob
from ballast.jobs import Job
from ballast.messages import Message
from ballast.texts import gettext_noop
from dbcore.sentences import sentence


class DeliverReply(Job):
    """What the frontend itself has to say: help, questions, corrections. Needs no database.

    notice_of -- the job that the message says is queued; where that is done by now, or was said before, nothing is
        said.
    """

    kind = "replies.deliver"
    notice_of: str | None = None
    messages: tuple[Message, ...] = Field(min_length=1, max_length=10)


class PressAppButton(UserJob):
    """Somebody pressed a button of an app. What it stands for is looked up by its token."""

    kind = "replies.press_button"
    token: str = Field(pattern=r"^[0-9a-f]{32}$")


replies = BuiltInApp("replies", tasks=["workers.tasks.replies", "workers.tasks.apps"])

_FINDS_WHAT_BUTTONS_STAND_FOR = "it finds what the buttons of apps stand for"

replies.built_in_job(DeliverReply, database="none", internal="it delivers the bot's answers")
replies.built_in_job(
    PressAppButton,
    database="none",
    internal=_FINDS_WHAT_BUTTONS_STAND_FOR,
    waiting=Waiting(words=sentence("Your request is saved, and I'll write to you {where} {until}.")),
)

replies.built_in_command("help", DeliverReply, help=gettext_noop("List the commands"), is_linked=True)
replies.built_in_button(
    "app", button_data.APP, leads_to=[PressAppButton], internal=_FINDS_WHAT_BUTTONS_STAND_FOR
)
replies.built_in_command(
    "deposit",
    DeliverReply,
    help=gettext_noop("Add money: /{name} [50]"),
    leaves_dialogue=True,
    is_linked=True,
)
replies.built_in_command(
    "paysupport", DeliverReply, help=gettext_noop("Get help with a payment"), alone="anything", is_linked=True
)
replies.built_in_command(
    "terms", DeliverReply, help=gettext_noop("Show the terms of payments"), alone="anything", is_linked=True
)
replies.built_in_button("deposit", button_data.DEPOSIT, leads_to=[DeliverReply])

PAYMENT_COMMANDS = frozenset(
    {"deposit", "refund", "paysupport", "reconcile", "subscribe", "subscription", "terms"}
)
"""By their own words. They are in no menu while this bot takes no payments."""
