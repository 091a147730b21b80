"""What Ballast's own jobs, commands and buttons declare beside what an app's do. Plain fields, which the frontend, the
workers and Celery's settings read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ballast.jobs import Job
from dbcore.redis_pace import RedisPace
from dbcore.sentences import Sentence
from dbcore.settings import Settings


@dataclass(frozen=True, slots=True)
class Waiting:
    """What people are told of a job of theirs that waits for the database: what is saved, and what I'll do about it.

    words -- a sentence with `{where}`, the chat of the answer, and `{until}`; or a function of the job's fields for
        it. `{cancel}` in it is the name of that command.
    in_groups -- what a group reads instead, without an amount or a name.
    is_public -- a group may read its answer; others go to the private chat.
    details_in_private -- whoever asks in a group reads `words` in private.
    once_for -- the field by which it is told once, though there are several jobs: presses of one person on one card.
    """

    words: Sentence | Callable[[Mapping[str, Any], Settings], Sentence]
    in_groups: Sentence | None = None
    is_public: bool = False
    details_in_private: bool = False
    once_for: str | None = None

    def said(self, fields: Mapping[str, Any], settings: Settings) -> Sentence:
        """The words of a job with these fields."""
        return self.words if isinstance(self.words, Sentence) else self.words(fields, settings)


@dataclass(frozen=True, slots=True)
class BuiltInJob:
    """
    waiting -- None if nobody is told that it waits.
    takes_its_time -- nobody waits for it, and it takes as long as the pace wants.
    asked_by -- the field with the Telegram id of whom it belongs to; None: whoever wrote the message.
    internal -- why an app can neither replace it nor switch it off; None if it can.
    needed -- why an app cannot switch it off; None if it can.
    """

    queue: str
    waiting: Waiting | None
    takes_its_time: bool
    asked_by: str | None
    internal: str | None
    needed: str | None


@dataclass(frozen=True, slots=True)
class BuiltInCommand:
    """
    word -- its name unless an app gives it another. Code and links know it by this one.
    fields -- of its job, beside who sends it.
    alone -- what may not stand behind it: anything, or somebody's name.
    is_linked -- a link to the private chat may ask for it: /start with its word.
    names_somebody -- `/send@carol 5` is `/send @carol 5`.
    leaves_dialogue -- what the bot asked before is not asked any more.
    is_telegrams -- Telegram's apps send it themselves, so it can neither have another name nor be switched off.
    help -- its line in the menu, in English, where `{name}` is what it is called.
    """

    word: str
    help: str
    fields: Mapping[str, Any]
    alone: Literal["anything", "somebody"] | None
    is_linked: bool
    names_somebody: bool
    leaves_dialogue: bool
    is_telegrams: bool


@dataclass(frozen=True, slots=True)
class BuiltInButton:
    """
    name -- by which the frontend finds its function.
    data -- of button_data.py: what its callback data is.
    leads_to -- jobs that a press can have done, at once or after a question.
    below -- jobs whose answers are of no use without it.
    labels -- what it says, if apps can have it say something else.
    internal -- as of a job.
    """

    name: str
    data: re.Pattern[str]
    leads_to: tuple[type[Job], ...]
    below: tuple[type[Job], ...]
    labels: tuple[str, ...]
    internal: str | None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A task that beat asks for every so often. It may be asked for twice.

    expires_before -- so many seconds before the next is due, one that no worker took is dropped.
    needed_by -- jobs that come to no end without it.
    internal -- as of a job.
    """

    name: str
    task: str
    queue: str
    seconds: Callable[[Settings, RedisPace], float]
    expires_before: float
    needed_by: tuple[type[Job], ...]
    internal: str | None
