"""Who a user is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import TelegramId, UserJob
from ballast.jobs import Job
from ballast.texts import gettext_noop
from dbcore.sentences import sentence


class GetOrCreateUser(UserJob):
    """/start, or an operator who registers somebody."""

    kind = "users.get_or_create"


class SetUserStatus(Job):
    """The user blocked the bot, or came back (`my_chat_member`)."""

    kind = "users.set_status"
    telegram_id: int = TelegramId
    status: Literal["active", "blocked"]


class Quarantine(Job):
    """An update that could not be read, kept for an operator.

    raw -- the update as it came, cut at 8 KiB. payment -- whether it says that money has moved.
    payer_id -- in whose chat it says so.
    """

    kind = "users.quarantine"
    raw: str = Field(max_length=8192)
    error: str = Field(max_length=2048)
    payment: bool = False
    payer_id: int | None = None


users = BuiltInApp("users", tasks=["workers.tasks.users"])

users.built_in_job(
    GetOrCreateUser,
    database="write",
    waiting=Waiting(
        words=sentence("Your {command} is saved, and I'll answer it {where} {until}.", command="/start")
    ),
)
users.built_in_job(SetUserStatus, database="write")
users.built_in_job(
    Quarantine, database="write", internal="it keeps updates that could not be read for operators"
)

users.built_in_command(
    "start",
    GetOrCreateUser,
    help=gettext_noop("Start using the bot"),
    leaves_dialogue=True,
    is_telegrams=True,
)
