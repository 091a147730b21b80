"""What can be asked of the workers about broadcasts, and what the buttons of their cards stand for.

A button's word, like a kind, never changes once released.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ballast.builtin import button_data
from ballast.builtin.app import BuiltInApp
from ballast.builtin.composition import (
    STARS_MAX,
    Composition,
    Formatting,
    LinkButton,
    QuietHours,
    Segment,
    past,
)
from ballast.builtin.declared import Waiting
from ballast.builtin.jobs import TelegramId, UserJob
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop
from dbcore.sentences import sentence


class Original(BaseModel):
    """The message that a broadcast copies, or the messages of an album."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    chat_id: int
    message_ids: tuple[int, ...] = Field(min_length=1, max_length=10)


class CardButton(StrEnum):
    """What a button of a broadcast's card stands for, by its word in the callback data."""

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


class ChooseBroadcasts(UserJob):
    """/stop (not wanted) or /resume: for broadcasts alone."""

    kind = "users.choose_broadcasts"
    wanted: bool


class BroadcastJob(Job):
    """A job on one broadcast."""

    broadcast_id: int = Field(ge=1)


class StartBroadcast(Composition, Job):
    """Send a text, or a copy of a message, to everybody in a segment; or begin one that is written down already."""

    # `copy` is what Telegram and operators call it, and a method of pydantic's.
    model_config = ConfigDict(serialize_by_alias=True)

    kind = "broadcasts.start"
    broadcast_id: int | None = Field(default=None, ge=1)
    original: Original | None = Field(default=None, alias="copy")
    actor: str = Field(default="operator", max_length=64)

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if [self.broadcast_id is None, not self.has_message, self.original is None].count(False) != 1:
            raise ValueError("expected one of text, copy and broadcast_id")
        if self.paid and self.original is not None and len(self.original.message_ids) > 1:
            raise ValueError(
                "paid: expected a text or one message to copy: Telegram takes no Stars for an album"
            )
        return self

    def objection(self, now: datetime) -> str | None:
        found = self.contradiction(now)
        return None if found is None else str(found)

    @property
    def payload(self) -> dict[str, Any]:
        """As dbcore keeps it."""
        if self.original is not None:
            return {"copy": self.original.model_dump(mode="json")}
        return super().payload


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


class TryBroadcast(BroadcastJob):
    """Send it to one admin, as everybody would get it; of an A/B test both texts."""

    kind = "broadcasts.try"
    telegram_id: int = TelegramId


class DraftBroadcast(Job):
    """An admin's /broadcast: draw it up, show it to them, and send nothing yet.

    telegram_id -- the admin, whose private chat it is drawn up in.
    text -- as the admin wrote it, without the command.
    entities -- how it was formatted in the app; empty for a plain text, None where it is Telegram's HTML.
    message_id -- instead of it, the message of that chat to copy.
    album -- where that message belongs to one, Telegram's name for it.
    buttons -- the links below that message, row by row.
    buttons_lost -- it has other buttons as well, which a copy cannot have.
    """

    kind = "broadcasts.draft"
    telegram_id: int = TelegramId
    text: str | None = Field(default=None, min_length=1, max_length=4096)
    entities: tuple[Formatting, ...] | None = None
    message_id: int | None = None
    album: str | None = Field(default=None, max_length=64)
    buttons: tuple[tuple[LinkButton, ...], ...] = ()
    buttons_lost: bool = False

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
    stars_max: int | None = Field(default=None, ge=0, le=STARS_MAX)

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if [self.segment, self.scheduled_for, self.quiet_hours, self.stars_max].count(None) != 3:
            raise ValueError("expected one of segment, scheduled_for, quiet_hours and stars_max")
        return self

    def objection(self, now: datetime) -> str | None:
        objection = past(self.scheduled_for, now)
        return None if objection is None else str(objection)


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
    """Send what became of each recipient to a chat, as a CSV document.

    part -- of a report that is too long for one: it begins behind a user, and so many recipients were in those before.
    """

    kind = "broadcasts.report"
    chat_id: int
    part: int = Field(default=1, ge=1)
    after_user_id: int = Field(default=0, ge=0)
    reported: int = Field(default=0, ge=0)


class EraseChunk(BroadcastJob):
    """Delete what the next few recipients have of a broadcast, and see to it that the next such job follows.

    found -- how many had something of it at first.
    chat_id -- who is told when it is done.
    """

    kind = "broadcasts.erase"
    chat_id: int
    found: int = Field(ge=0)
    after_user_id: int = Field(default=0, ge=0)


_SENDS = "it keeps broadcasts running without duplicates"

_ORDERED = Waiting(words=sentence("Your broadcast command is saved, and I'll write to you {where} {until}."))

broadcasts = BuiltInApp("broadcasts", tasks=["workers.tasks.broadcasts"])

broadcasts.built_in_job(
    ChooseBroadcasts,
    database="write",
    waiting=Waiting(
        words=sentence("Your choice about announcements is saved, and I'll confirm it {where} {until}.")
    ),
)
broadcasts.built_in_job(StartBroadcast, database="write")
broadcasts.built_in_job(SendChunk, database="write", takes_its_time=True, internal=_SENDS)
broadcasts.built_in_job(WakeBroadcast, database="write", internal=_SENDS)
broadcasts.built_in_job(PauseBroadcast, database="write")
broadcasts.built_in_job(ResumeBroadcast, database="write")
broadcasts.built_in_job(CancelBroadcast, database="write")
broadcasts.built_in_job(ResendUnknown, database="write")
broadcasts.built_in_job(TryBroadcast, database="read")
broadcasts.built_in_job(DraftBroadcast, database="write", waiting=_ORDERED)
broadcasts.built_in_job(ChangeDraft, database="write", waiting=_ORDERED)
broadcasts.built_in_job(PressBroadcast, database="write", waiting=_ORDERED)
broadcasts.built_in_job(ShowCard, database="write", internal="it edits cards as often as Telegram allows")
broadcasts.built_in_job(ListBroadcasts, database="read", waiting=_ORDERED)
broadcasts.built_in_job(ReportBroadcast, database="read")
broadcasts.built_in_job(EraseChunk, database="write", takes_its_time=True, internal=_SENDS)

broadcasts.built_in_command(
    "stop",
    ChooseBroadcasts,
    help=gettext_noop("Stop receiving broadcasts"),
    fields={"wanted": False},
    alone="somebody",
)
broadcasts.built_in_command(
    "resume",
    ChooseBroadcasts,
    help=gettext_noop("Receive broadcasts again"),
    fields={"wanted": True},
    alone="somebody",
)
broadcasts.built_in_command(
    "broadcast",
    DraftBroadcast,
    help=gettext_noop("Message many users: /{name} text, or as a reply to any message"),
    needs=Permission.BROADCAST,
)
broadcasts.built_in_command(
    "broadcasts",
    ListBroadcasts,
    help=gettext_noop("Show the latest broadcasts"),
    needs=Permission.SEE_BROADCASTS,
)
broadcasts.built_in_button(
    "card",
    button_data.BROADCAST_CARD,
    leads_to=[PressBroadcast, ChangeDraft, ReportBroadcast],
    below=[DraftBroadcast, ListBroadcasts],
)
# On the probe's queue, because it needs no database and must not wait behind what does. A broadcast is woken once,
# however many beats there are.
broadcasts.schedule(
    "broadcasts-watch",
    "workers.broadcasts.watch",
    lambda _, pace: pace.watch,
    queue="health",
    needed_by=[StartBroadcast, PressBroadcast],
)
