"""A job and its envelope, and the jobs about people and their money."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dbcore.money import MAX_AMOUNT
from dbcore.users import TELEGRAM_ID_LIMIT
from workers.messages import Message
from workers.origins import Origin

QUEUES = ("users", "balances", "transactions", "broadcasts", "replies", "health")
DATABASE_QUEUES = ("users", "balances", "transactions", "broadcasts")

MEMO_LENGTH_MAX = 200

TEXTS = frozenset({"text", "reason", "memo", "first_name", "username", "recipient", "error", "raw"})
"""Fields that hold what people wrote, or are called."""

TelegramId = Field(gt=0, lt=TELEGRAM_ID_LIMIT)


class JobInvalid(Exception):
    """A job's fields are not what its kind expects. The message says which, what was expected and what came."""


class Job(BaseModel):
    """What a worker is asked to do. Subclasses carry the arguments, in Celery's terms the keyword arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: ClassVar[str]

    @classmethod
    def decode(cls, fields: dict[str, Any]) -> Self:
        """Raises JobInvalid with one sentence for every wrong field."""
        try:
            # Through JSON, so that tuples and enums may arrive as JSON has them while numbers stay strict.
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise JobInvalid(
                f"{task_name(cls.kind)}: " + "; ".join(_sentence(e) for e in error.errors())
            ) from None

    def objection(self, now: datetime) -> str | None:
        """Why it is not to be taken when it is asked for, though its fields are well. Once on record nobody objects:
        what was asked in time may be done late.
        """
        return None


def _sentence(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "arguments"
    came = f", got {_shortened(error['input'])}" if _can_be_said(error) else ""
    return f"{field}: {error['msg'].removeprefix('Value error, ')}{came}"


def _can_be_said(error: Any) -> bool:
    """Whether what came is no text of people: the sentence goes to the logs and to Flower."""
    match error["input"]:
        case dict() | list():
            return False
        case str():
            return error["type"] != "extra_forbidden" and TEXTS.isdisjoint(error["loc"])
    return bool(error["type"] != "missing")


def _shortened(value: object, length_max: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= length_max else shown[:length_max] + "…"


class UserJob(Job):
    """A job on behalf of one Telegram user, as Telegram described them in the update."""

    telegram_id: int = TelegramId
    username: str | None = Field(default=None, max_length=64)
    first_name: str = Field(default="", max_length=256)
    language_code: str | None = Field(default=None, max_length=35)


class GetOrCreateUser(UserJob):
    """/start, or an operator who registers somebody."""

    kind = "users.get_or_create"


class SetUserStatus(Job):
    """The user blocked the bot, or came back (`my_chat_member`)."""

    kind = "users.set_status"
    telegram_id: int = TelegramId
    status: Literal["active", "blocked"]


class ChooseBroadcasts(UserJob):
    """/stop (not wanted) or /resume: for broadcasts alone."""

    kind = "users.choose_broadcasts"
    wanted: bool


class ShowBalance(UserJob):
    kind = "balances.show"


class _Adjustment(Job):
    """A credit (`amount` > 0) or debit (`amount` < 0) of a user known by id or by username.

    amount -- signed minor units of the currency: 550 is 5.50 CREDIT.
    """

    telegram_id: int | None = Field(default=None, gt=0, lt=TELEGRAM_ID_LIMIT)
    username: str | None = Field(default=None, max_length=64)
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    reason: str = Field(default="", max_length=MEMO_LENGTH_MAX)

    @model_validator(mode="after")
    def _whom_and_what(self) -> Self:
        if (self.telegram_id is None) == (self.username is None):
            raise ValueError("expected either telegram_id or username")
        if self.amount == 0:
            raise ValueError("amount: expected minor units other than 0")
        return self


class AdjustBalance(_Adjustment):
    """Do it at once: an operator's order, without limits.

    actor -- who decided it, such as `operator`; for the books.
    """

    kind = "balances.adjust"
    actor: str = Field(default="operator", max_length=64)


class AskAdjustment(_Adjustment):
    """/credit or /debit: put it before the admin who asked for it. Moves nothing yet."""

    kind = "balances.ask_adjustment"
    admin_id: int = TelegramId


class DecideAdjustment(UserJob):
    """An admin's press on Confirm or Cancel. `token` is the pending adjustment's opaque id."""

    kind = "balances.decide_adjustment"
    token: str = Field(min_length=1, max_length=60)
    confirm: bool


class CreateTransfer(UserJob):
    """/send: look the recipient up and ask the sender to confirm. Moves nothing yet.

    recipient -- `@name` or a numeric Telegram id.
    amount -- minor units.
    """

    kind = "transactions.create"
    recipient: str = Field(min_length=1, max_length=64)
    amount: int = Field(gt=0, le=MAX_AMOUNT)
    memo: str = Field(default="", max_length=MEMO_LENGTH_MAX)


class DecideTransfer(UserJob):
    """A press on Confirm or Cancel. `token` is the pending transfer's opaque id."""

    kind = "transactions.confirm"
    token: str = Field(min_length=1, max_length=60)
    confirm: bool


class CancelTransfers(UserJob):
    """/cancel: cancel every transfer of the sender that waits for Confirm."""

    kind = "transactions.cancel"


class RecordPayment(UserJob):
    """Telegram says that this user paid, or was refunded: keep it, tell the admins, give a receipt. Credits nothing.

    charge_id -- Telegram's; each is recorded once. amount -- in the currency's smallest units; XTR is whole Stars.
    details -- Telegram's object, whole. said_at -- seconds since 1970.
    """

    kind = "transactions.record_payment"
    event: Literal["paid", "refunded"]
    charge_id: str = Field(min_length=1, max_length=256)
    amount: int = Field(ge=0, lt=2**63)
    currency: str = Field(min_length=1, max_length=16)
    payload: str = Field(default="", max_length=512)
    details: dict[str, Any] = {}
    said_at: int = Field(ge=0)


class ShowHistory(UserJob):
    """A page of the user's entries: the newest, or those up to an account version.

    owner_telegram_id -- whose history the pressed button belongs to.
    """

    kind = "transactions.history"
    upto_version: int | None = Field(default=None, ge=1)
    owner_telegram_id: int | None = None


class DeliverReply(Job):
    """What the frontend itself has to say: help, questions, corrections. Needs no database.

    notice_of -- the job that the message says is queued; where that is done by now, or was said before, nothing is
        said.
    """

    kind = "replies.deliver"
    notice_of: str | None = None
    messages: tuple[Message, ...] = Field(min_length=1, max_length=10)


class ShowDatabaseStatus(Job):
    """/dbstatus. From what Redis holds, so it needs no database."""

    kind = "health.database_status"


ACTION_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
REFERENCE = r"^[A-Z2-7]{8}$"
BROADCAST_ID = r"^[1-9][0-9]{0,17}$"


class OperatorAction(Job):
    """What an operator ordered on the status page. A word for the breaker has taken effect by then, and is only written
    down.

    action_id -- drawn by the page: by it the order takes effect once.
    target -- a dead letter's reference, or a broadcast's id; the breaker needs none.
    at -- when it was ordered, seconds since 1970 by Redis's clock.
    """

    kind = "health.act"
    action_id: str = Field(pattern=ACTION_ID)
    actor: str = Field(min_length=1, max_length=80)
    action: Literal[
        "breaker.open",
        "breaker.close",
        "breaker.auto",
        "dead_letter.retry",
        "dead_letter.discard",
        "broadcast.pause",
        "broadcast.resume",
        "broadcast.cancel",
    ]
    target: str = Field(default="", max_length=20)
    at: float

    @model_validator(mode="after")
    def _target_of_its_sort(self) -> Self:
        sort = self.action.partition(".")[0]
        if not re.fullmatch(_TARGETS[sort], self.target):
            raise ValueError(f"target: expected {_TARGETS_MEANT[sort]}")
        return self


_TARGETS = {"breaker": "^$", "dead_letter": REFERENCE, "broadcast": BROADCAST_ID}
_TARGETS_MEANT = {
    "breaker": "nothing",
    "dead_letter": "a reference of eight letters and digits",
    "broadcast": "a broadcast's id",
}


class Quarantine(Job):
    """An update that could not be read, kept for an operator. `raw` is the update as it came, cut at 8 KiB."""

    kind = "users.quarantine"
    raw: str = Field(max_length=8192)
    error: str = Field(max_length=2048)


def queue_of(kind: str) -> str:
    return kind.partition(".")[0]


def task_name(kind: str) -> str:
    return f"workers.{kind}"


class Envelope(BaseModel):
    """A job with what is known about where it came from and where its answer goes; the inbox keeps these.

    job_id -- the Celery task id and the root of every idempotency key.
    lane -- jobs of one lane run one after the other, in the order they came in.
    chat_id -- where the answer goes; None when nobody waits for one.
    message_id -- the message whose button was pressed; the answer is edited into it.
    told_to_wait -- the user is told "queued" in a message of its own, whose place the answer takes.
    asker_id -- who wrote or pressed; in a group, what is private goes to their private chat.
    command_id -- the message that is the command; answers in a group quote it.
    thread_id -- the topic that the answer goes to.
    callback_id -- the press that the worker answers.
    """

    # A newer release's record must be readable by an older one, while both run: what is unknown is passed over.
    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str
    lane: str
    kind: str
    fields: dict[str, Any]
    chat_id: int | None = None
    message_id: int | None = None
    update_id: int | None = None
    told_to_wait: bool = False
    asker_id: int | None = None
    command_id: int | None = None
    thread_id: int | None = None
    callback_id: str | None = None

    @property
    def origin(self) -> Origin | None:
        """Where its answer goes; None if nobody waits for one."""
        if self.chat_id is None:
            return None
        return Origin(self.chat_id, self.asker_id, self.command_id, self.thread_id)

    @property
    def requester(self) -> tuple[Any, Any]:
        """Whose job it is: their Telegram id, and the username if it is known; not checked.

        What an adjustment names is the person whose balance changes.
        """
        if self.kind == AskAdjustment.kind:
            return self.fields.get("admin_id"), None
        if self.kind == AdjustBalance.kind:
            return self.asker_id, None
        return self.fields.get("telegram_id"), self.fields.get("username")

    @classmethod
    def of(
        cls,
        job: Job,
        *,
        job_id: str,
        lane: str,
        chat_id: int | None = None,
        message_id: int | None = None,
        update_id: int | None = None,
        told_to_wait: bool = False,
        origin: Origin | None = None,
        callback_id: str | None = None,
    ) -> Self:
        """origin -- instead of `chat_id`: everything that is known of where it came from."""
        return cls(
            job_id=job_id,
            lane=lane,
            kind=job.kind,
            fields=job.model_dump(mode="json"),
            chat_id=chat_id if origin is None else origin.chat_id,
            message_id=message_id,
            update_id=update_id,
            told_to_wait=told_to_wait,
            asker_id=None if origin is None else origin.asker_id,
            command_id=None if origin is None else origin.command_id,
            thread_id=None if origin is None else origin.thread_id,
            callback_id=callback_id,
        )


def job_id_of_update(bot_id: int, update_id: int, date: int) -> str:
    """The same update always makes the same id.

    The date is in it because update ids start again at a random number after a week without updates.
    """
    return f"{bot_id}-{update_id}-{date}"


def reference_of(job_id: str) -> str:
    """What a user is told to quote: eight letters and digits that stand for the job."""
    return base64.b32encode(hashlib.sha256(job_id.encode()).digest()[:5]).decode()
