"""What a worker can be asked to do, and how it may end.

A job is a small frozen JSON value. Its `kind` never changes once released: jobs of the last release may still wait.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

TEXTS = frozenset(
    {"text", "reason", "memo", "first_name", "username", "recipient", "error", "raw", "arguments", "update"}
)
"""Fields that hold what people wrote, or are called."""

OWNER = "telegram_id"
"""The field that says whose a job is. Nobody is asked for it: it is the id of the person who answers."""

SNOOZE_SECONDS_MAX = 86_400
UPDATE_LENGTH_MAX = 262_144


class JobInvalid(Exception):
    """A job's fields are not what its kind expects. The message says which, what was expected and what came."""


class Snooze(Exception):
    """Raise it in a handler to have the job done again after `seconds`, up to a day. That does not count as an attempt.

    Jobs of the same user wait behind it.
    """

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds <= SNOOZE_SECONDS_MAX:
            raise ValueError(f"seconds: expected 0 to {SNOOZE_SECONDS_MAX:,}, got {seconds!r}")
        super().__init__(seconds)
        self.seconds = seconds


class Discard(Exception):
    """Raise it in a handler if trying again cannot help: the job fails at once. Its failure is recorded for operators,
    with the reason, and its user gets a reference.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Job(BaseModel):
    """What a worker is asked to do. Subclasses carry the arguments, in Celery's terms the keyword arguments.

    class Give(Job, kind="shop.give"):
        telegram_id: int
        minor: int
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if kind is not None:
            cls.kind = kind

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


J = TypeVar("J", bound=Job)


def checked(job: J) -> J:
    """The job, with its fields checked as if it came just now: `model_copy` checks none. Raises JobInvalid."""
    try:
        fields = job.model_dump(mode="json", warnings=False)
    except ValueError as error:
        raise JobInvalid(f"{task_name(job.kind)}: {error}") from None
    unknown = vars(job).keys() - type(job).model_fields.keys()
    return type(job).decode({**dict.fromkeys(unknown, ""), **fields})


class TelegramUpdate(Job):
    """An update for an app's own handlers.

    update -- as Telegram sent it, JSON.
    bot_username -- our bot's.
    telegram_id -- whose it is, where it is somebody's; and how Telegram describes them in it.
    """

    update: str = Field(max_length=UPDATE_LENGTH_MAX)
    bot_username: str | None = None
    telegram_id: int | None = None
    username: str | None = None
    first_name: str = ""
    language_code: str | None = None


def task_name(kind: str) -> str:
    """Celery's name of what does jobs of this kind."""
    return f"workers.{kind}"


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
