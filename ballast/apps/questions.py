"""What an app's handler asks: how it is kept, with the other dialogues, until it is answered."""

from __future__ import annotations

from html import escape
from typing import Any

from pydantic import BaseModel, ConfigDict

from ballast.apps.command_names import leave
from ballast.asking import Ask, given_as_json
from ballast.chat.origins import Origin
from ballast.jobs import OWNER
from ballast.messages import Message
from dbcore.errors import UsageError
from dbcore.fingerprints import fingerprint

KEPT_LENGTH_MAX = 16_384
CORRECTION_LENGTH_MAX = 500
"""With it a question fits into one message, however it is escaped."""


class JobQuestion(BaseModel):
    """What somebody is asked for a job of an app.

    kind -- of the job. asks -- its field. given -- the fields that are known, as JSON.
    question, choices -- as they were asked, to be asked again.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    asks: str
    given: dict[str, Any]
    question: str
    choices: tuple[str, ...] = ()

    def message(self, origin: Origin, correction: str = "") -> Message:
        """To be sent where the person wrote. In a group it quotes them, and they reply to it; there is no keyboard."""
        text = f"{correction[:CORRECTION_LENGTH_MAX]}{self.question}"
        asked = origin.publicly(escape(text, quote=False), asks=True)
        choices = () if origin.is_group else self.choices
        return asked.model_copy(update={"is_question": True, "choices": choices})


class JobDialogue(BaseModel):
    """As the frontend's Dialogue has it.

    asked_by -- made of the id of the job that asks, so that no two states are equal by chance.
    """

    job: JobQuestion
    asked_by: int
    command_id: int | None


def dialogue_of(ask: Ask, *, job_id: str, user_id: int, origin: Origin) -> JobDialogue:
    """The dialogue that begins with it. Raises UsageError if what it gives is nothing of its job's, or too long."""
    given = {**ask.given, **({OWNER: user_id} if OWNER in ask.job.model_fields else {})}
    asked = JobQuestion(
        kind=ask.job.kind,
        asks=ask.asks,
        given=given_as_json(ask.job, given),
        question=f"{ask.question}{leave()}",
        choices=tuple(ask.choices),
    )
    if len(asked.model_dump_json()) > KEPT_LENGTH_MAX:
        raise UsageError(f"Ask: expected up to {KEPT_LENGTH_MAX:,} characters of JSON in what is given")
    asked_by = int(fingerprint(job_id)[:12], 16)
    return JobDialogue(job=asked, asked_by=asked_by, command_id=origin.command_id)
