"""A job's envelope, and its queue."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ballast.apps.installed import INSTALLED
from ballast.chat.origins import Origin
from ballast.jobs import OWNER, Job
from dbcore.fingerprints import fingerprint

APPS_LANE = "app:"
"""What lanes begin with that are a field's of an app's jobs."""

_QUEUED_LANE = "outbox:"

LANE_VALUE_LENGTH_MAX = 80


def queue_of(kind: str) -> str:
    handler = INSTALLED.handlers.get(kind)
    if handler is None:
        return kind.partition(".")[0]
    if handler.declared is not None:
        return handler.declared.queue
    # What needs no database goes with answers, which wait for none.
    return "replies" if handler.database == "none" else "transactions"


def is_short(kind: str) -> bool:
    """Whether other jobs may wait behind one in the process that does it. An app's may take a minute."""
    handler = INSTALLED.handlers.get(kind)
    return handler is None or handler.is_by_task


def takes_its_time(kind: str) -> bool:
    """Whether nobody waits for it, and it may take a minute."""
    handler = INSTALLED.handlers.get(kind)
    return handler is not None and handler.declared is not None and handler.declared.takes_its_time


def is_quick(kind: str) -> bool:
    """Whether it takes a moment, so that a process may be handed it without a message of Celery's."""
    return is_short(kind) and not takes_its_time(kind)


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
    language -- of whoever reads the answer; None if it is not known yet.
    time_zone -- that they chose; None if they chose none, or `language` is None.
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
    language: str | None = None
    time_zone: str | None = None

    @property
    def origin(self) -> Origin | None:
        """Where its answer goes; None if nobody waits for one."""
        if self.chat_id is None:
            return None
        return Origin(self.chat_id, self.asker_id, self.command_id, self.thread_id)

    @property
    def requester(self) -> tuple[Any, Any]:
        """Whose job it is: their Telegram id, and the username if it is known; not checked."""
        handler = INSTALLED.handlers.get(self.kind)
        declared = None if handler is None else handler.declared
        asked_by = OWNER if declared is None else declared.asked_by
        if asked_by == OWNER:
            return self.fields.get(OWNER), self.fields.get("username")
        return (self.asker_id if asked_by is None else self.fields.get(asked_by)), None

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
        language: str | None = None,
        time_zone: str | None = None,
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
            language=language,
            time_zone=time_zone,
        )


def enqueued_lane(job_id: str, kind: str, fields: Mapping[str, Any], telegram_id: int | None) -> str:
    """The lane of a job that another one, a transaction or a webhook enqueued: its user's own for such jobs, or that of
    a field, if an app says so. A job that is nobody's is alone in its lane.

    A user's own for such jobs is empty most of the time, for they take their turn in the `main_lane`.
    """
    by_field = lane_by_field(job_id, kind, fields)
    if by_field is not None:
        return by_field
    return job_id if telegram_id is None else f"{_QUEUED_LANE}{telegram_id}"


def main_lane(lane: str) -> str | None:
    """The lane of what a user writes and presses, where the jobs of `lane` take their turn unless one of them asked to
    be done later; None if `lane` is not a user's for queued jobs.
    """
    return f"user:{lane.removeprefix(_QUEUED_LANE)}" if lane.startswith(_QUEUED_LANE) else None


def lane_by_field(job_id: str, kind: str, fields: Mapping[str, Any]) -> str | None:
    """The lane that an app's job has by a field of its own; None if its lane is a user's."""
    handler = INSTALLED.handlers.get(kind)
    field = OWNER if handler is None else handler.lane
    if field == OWNER:
        return None
    value = None if field is None else fields.get(field)
    if value is None:
        return job_id
    written = str(value)
    if len(written) > LANE_VALUE_LENGTH_MAX:
        written = fingerprint(written)
    return f"{APPS_LANE}{kind.partition('.')[0]}:{field}:{written}"


def job_id_of_update(bot_id: int, update_id: int, date: int) -> str:
    """The same update always makes the same id.

    The date is in it because update ids start again at a random number after a week without updates.
    """
    return f"{bot_id}-{update_id}-{date}"


def reference_of(job_id: str) -> str:
    """What a user is told to quote: eight letters and digits that stand for the job."""
    return base64.b32encode(hashlib.sha256(job_id.encode()).digest()[:5]).decode()
