"""The queue's contract: what can be asked of the workers, as small frozen JSON values.

A job's `kind` never changes once released, for jobs of the last release may still wait in Redis. It names the
task (`workers.<kind>`) and, by its first word, the queue.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from dbcore.money import MAX_AMOUNT
from dbcore.users import TELEGRAM_ID_LIMIT
from workers.messages import Message

QUEUES = ("users", "balances", "transactions", "broadcasts", "replies", "health")
DATABASE_QUEUES = ("users", "balances", "transactions", "broadcasts")

MEMO_LENGTH_MAX = 200

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


def _sentence(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "arguments"
    came = "" if error["type"] == "missing" else f", got {_shortened(error['input'])}"
    return f"{field}: {error['msg'].removeprefix('Value error, ')}{came}"


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


class AdjustBalance(Job):
    """Credit (`amount` > 0) or debit (`amount` < 0) a user known by id or by username.

    amount -- signed minor units of the currency: 550 is 5.50 CREDIT.
    actor -- who decided it, such as `telegram:1001`; for the books.
    """

    kind = "balances.adjust"
    telegram_id: int | None = Field(default=None, gt=0, lt=TELEGRAM_ID_LIMIT)
    username: str | None = Field(default=None, max_length=64)
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    reason: str = Field(default="", max_length=MEMO_LENGTH_MAX)
    actor: str = Field(default="operator", max_length=64)

    @model_validator(mode="after")
    def _whom_and_what(self) -> Self:
        if (self.telegram_id is None) == (self.username is None):
            raise ValueError("expected either telegram_id or username")
        if self.amount == 0:
            raise ValueError("amount: expected minor units other than 0")
        return self


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


class Segment(BaseModel):
    """Who a broadcast is for: all parts that are given must hold; none is everybody who can be reached.

    balance_min -- minor units.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    active_days: int | None = Field(default=None, ge=1, le=3650)
    balance_min: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    language: str | None = Field(default=None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    telegram_ids: tuple[Annotated[int, TelegramId], ...] | None = Field(default=None, max_length=100_000)

    def parts(self) -> dict[str, Any]:
        """Those that are given, as dbcore takes them."""
        return self.model_dump(mode="json", exclude_none=True)


class QuietHours(BaseModel):
    """Nothing goes out from `begin` to `end`, HH:MM by the clocks of `zone`; past midnight where `end` is earlier."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    begin: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    zone: str = Field(default="UTC", max_length=64)

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin") from None

    @model_validator(mode="after")
    def _some_hours(self) -> Self:
        if self.begin == self.end:
            raise ValueError("expected an end other than the beginning")
        return self


class Original(BaseModel):
    """The message that a broadcast copies, or the messages of an album."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    chat_id: int
    message_ids: tuple[int, ...] = Field(min_length=1, max_length=10)


class CardButton(StrEnum):
    """What a button of a broadcast's card stands for, as its callback data says it: `b:<broadcast>:<button>`."""

    SHOW = "show"
    MAIN = "main"
    SEGMENT = "segment"
    EVERYBODY = "all"
    WHEN = "when"
    NOW = "now"
    ANY_HOUR = "loud"
    FREE = "free"
    GO = "go"
    DISCARD = "drop"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    CANCEL_SURELY = "stop"
    REPORT = "csv"
    ERASE = "del"
    ERASE_SHOWN = "dellast"
    """The same, pressed under a list: the card comes with the question."""
    ERASE_SURELY = "erase"


class CardQuestion(StrEnum):
    """Buttons that are answered by a question, and that by the admin in words."""

    ACTIVE = "active"
    BALANCE = "balance"
    LANGUAGE = "language"
    IDS = "ids"
    TIME = "at"
    QUIET = "quiet"
    STARS = "stars"


class BroadcastJob(Job):
    """A job on one broadcast."""

    broadcast_id: int = Field(ge=1)


class StartBroadcast(Job):
    """Send a text, or a copy of a message, to everybody in a segment; or begin one that is written down already.

    text -- Telegram's HTML.
    stars_max -- what a paid one may cost; it is refused where its cost would be above.
    canary -- so many go out first, and alone.
    """

    # `copy` is what Telegram and operators call it, and a method of pydantic's.
    model_config = ConfigDict(serialize_by_alias=True)

    kind = "broadcasts.start"
    broadcast_id: int | None = Field(default=None, ge=1)
    text: str | None = Field(default=None, min_length=1, max_length=4096)
    original: Original | None = Field(default=None, alias="copy")
    segment: Segment = Segment()
    paid: bool = False
    stars_max: int | None = Field(default=None, ge=0, le=10_000_000)
    canary: int = Field(default=20, ge=1, le=1000)
    scheduled_for: AwareDatetime | None = None
    quiet_hours: QuietHours | None = None
    actor: str = Field(default="operator", max_length=64)

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if [self.broadcast_id, self.text, self.original].count(None) != 2:
            raise ValueError("expected one of text, copy and broadcast_id")
        return self

    @property
    def payload(self) -> dict[str, Any]:
        """As dbcore keeps it."""
        if self.original is not None:
            return {"copy": self.original.model_dump(mode="json")}
        return {"text": self.text}


class SendChunk(BroadcastJob):
    """Send to the next few recipients of a broadcast, and see to it that the next such job follows.

    run -- the broadcast's run that this belongs to. None: an operator's own, which sends one chunk and has no follower.
    lane -- several go on side by side.
    number -- counts the chunks of a lane; 0 is the canary.
    """

    kind = "broadcasts.send_chunk"
    run: int | None = Field(default=None, ge=0)
    lane: int = Field(default=0, ge=0)
    number: int = Field(default=0, ge=0)


class WakeBroadcast(BroadcastJob):
    """Its time has come: begin a scheduled one, go on with one that rested or whose jobs are gone."""

    kind = "broadcasts.wake"


class PauseBroadcast(BroadcastJob):
    kind = "broadcasts.pause"


class ResumeBroadcast(BroadcastJob):
    kind = "broadcasts.resume"


class CancelBroadcast(BroadcastJob):
    kind = "broadcasts.cancel"


class ResendUnknown(BroadcastJob):
    """Send once more to those of whom nobody knows whether they got it. Some will get it twice."""

    kind = "broadcasts.resend_unknown"


class DraftBroadcast(Job):
    """An admin's /broadcast: draw it up, show it to them, and send nothing yet.

    telegram_id -- the admin, whose private chat it is drawn up in.
    text -- Telegram's HTML.
    message_id -- instead of it, the message of that chat to copy.
    album -- where that message belongs to one, Telegram's name for it.
    """

    kind = "broadcasts.draft"
    telegram_id: int = TelegramId
    text: str | None = Field(default=None, min_length=1, max_length=4096)
    message_id: int | None = None
    album: str | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.text is None) == (self.message_id is None):
            raise ValueError("expected either text or message_id")
        return self


class ChangeDraft(BroadcastJob):
    """An admin's answer to what the card asked.

    segment -- parts to be added to those chosen before.
    stars_max -- it is paid, and may cost at most so much.
    """

    kind = "broadcasts.change"
    telegram_id: int = TelegramId
    segment: Segment | None = None
    scheduled_for: AwareDatetime | None = None
    quiet_hours: QuietHours | None = None
    stars_max: int | None = Field(default=None, ge=0, le=10_000_000)

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if [self.segment, self.scheduled_for, self.quiet_hours, self.stars_max].count(None) != 3:
            raise ValueError("expected one of segment, scheduled_for, quiet_hours and stars_max")
        return self


class PressBroadcast(BroadcastJob):
    """An admin pressed a button of a card.

    shown -- with "go", the fingerprint of the draft as the card showed it: nothing else is begun.
    """

    kind = "broadcasts.press"
    telegram_id: int = TelegramId
    what: CardButton
    shown: str | None = Field(default=None, max_length=16)


class ShowCard(BroadcastJob):
    """Edit the card to say how the broadcast stands.

    at_once -- an admin pressed a button, and waits.
    anew_in -- send it as a new message to this chat instead.
    """

    kind = "broadcasts.show_card"
    at_once: bool = False
    anew_in: int | None = None


class ListBroadcasts(Job):
    """An admin's /broadcasts: the newest, each with a button that shows its card."""

    kind = "broadcasts.list"
    telegram_id: int = TelegramId


class ReportBroadcast(BroadcastJob):
    """Send what became of each recipient to a chat, as a CSV document."""

    kind = "broadcasts.report"
    chat_id: int


class EraseChunk(BroadcastJob):
    """Delete what the next few recipients have of a broadcast, and see to it that the next such job follows.

    found -- how many had something of it at first.
    chat_id -- who is told when it is done.
    """

    kind = "broadcasts.erase"
    chat_id: int
    found: int = Field(ge=0)
    after_user_id: int = Field(default=0, ge=0)


class Quarantine(Job):
    """An update that could not be read, kept for an operator. `raw` is the update as it came, cut at 8 KiB."""

    kind = "users.quarantine"
    raw: str = Field(max_length=8192)
    error: str = Field(max_length=2048)


JOB_TYPES: dict[str, type[Job]] = {
    job_type.kind: job_type
    for job_type in (
        GetOrCreateUser,
        SetUserStatus,
        ChooseBroadcasts,
        ShowBalance,
        AdjustBalance,
        CreateTransfer,
        DecideTransfer,
        ShowHistory,
        DeliverReply,
        ShowDatabaseStatus,
        OperatorAction,
        StartBroadcast,
        SendChunk,
        WakeBroadcast,
        PauseBroadcast,
        ResumeBroadcast,
        CancelBroadcast,
        ResendUnknown,
        DraftBroadcast,
        ChangeDraft,
        PressBroadcast,
        ShowCard,
        ListBroadcasts,
        ReportBroadcast,
        EraseChunk,
        Quarantine,
    )
}


def task_name(kind: str) -> str:
    return f"workers.{kind}"


def queue_of(kind: str) -> str:
    return kind.partition(".")[0]


class Envelope(BaseModel):
    """A job with what is known about where it came from and where its answer goes; the inbox keeps these.

    job_id -- the Celery task id and the root of every idempotency key.
    lane -- jobs of one lane run one after the other, in the order they came in.
    chat_id -- where the answer goes; None when nobody waits for one.
    message_id -- the message whose button was pressed; the answer is edited into it.
    told_to_wait -- the user is told "queued" in a message of its own, whose place the answer takes.
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
    ) -> Self:
        return cls(
            job_id=job_id,
            lane=lane,
            kind=job.kind,
            fields=job.model_dump(mode="json"),
            chat_id=chat_id,
            message_id=message_id,
            update_id=update_id,
            told_to_wait=told_to_wait,
        )


def job_id_of_update(bot_id: int, update_id: int, date: int) -> str:
    """The same update always makes the same id.

    The date is in it because update ids start again at a random number after a week without updates.
    """
    return f"{bot_id}-{update_id}-{date}"


def reference_of(job_id: str) -> str:
    """What a user is told to quote: eight letters and digits that stand for the job."""
    return base64.b32encode(hashlib.sha256(job_id.encode()).digest()[:5]).decode()
