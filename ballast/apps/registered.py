"""What apps register, as plain values: handlers of jobs, commands, periodic jobs and audit checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from ballast.asking import Ask
from ballast.context import Database, JobContext
from ballast.jobs import OWNER, Discard, Job, Snooze
from ballast.operators.permissions import Permission
from ballast.replies import BuiltInAnswer, Reply
from dbcore.guard.refusal import Refuse
from dbcore.last_known import LastKnown

if TYPE_CHECKING:
    from ballast.builtin.declared import BuiltInCommand, BuiltInJob

Outcome = Reply | Job | Ask | BuiltInAnswer | Sequence[Reply | Job | Ask | BuiltInAnswer] | None
"""What a handler returns: answers, jobs to be done next, one question, or nothing."""

Answers = Outcome | Awaitable[Outcome]
Handling = Callable[[JobContext], Answers]

BatchOutcome = Outcome | Refuse | Snooze | Discard
"""Of one job of a batch: what its handler would return or raise for it alone."""

BatchAnswers = Sequence[BatchOutcome] | Awaitable[Sequence[BatchOutcome]]
Unavailable = Literal["queue", "refuse"] | Reply | LastKnown

DOUBLED_WAIT_SECONDS_MAX = 3600


@dataclass(frozen=True, slots=True)
class Handler:
    """What does jobs of one kind.

    payload -- the model of its second argument; None if it has none.
    attempts -- how often it may raise before the job has failed.
    backoff -- seconds before the second attempt, the third and so on; the last holds for all that follow. None: they
        double.
    deadline -- seconds after it was queued from which on it is no longer begun.
    lane -- the field by whose value jobs are done in order; None for no order.
    aliases -- kinds that it had in releases before.
    batch -- at most so many jobs at once go to its function, which has a BatchContext then; None: one, with a
        JobContext.
    declared -- what a job of Ballast's own declares beside that; None of an app's.
    replaced_by -- the app whose function does it, though it is a job of Ballast's own.
    """

    kind: str
    function: Callable[..., Answers]
    payload: type[BaseModel] | None
    database: Database
    attempts: int
    backoff: tuple[float, ...] | None = None
    deadline: float | None = None
    lane: str | None = OWNER
    aliases: tuple[str, ...] = ()
    batch: int | None = None
    declared: BuiltInJob | None = None
    replaced_by: str | None = None

    @property
    def app(self) -> str:
        """The name of the app that it belongs to."""
        return self.replaced_by or self.kind.partition(".")[0]

    @property
    def is_by_task(self) -> bool:
        """Whether a task of Ballast's own does it, and no function that an app registers."""
        return self.declared is not None and self.replaced_by is None

    def wait_seconds(self, tries: int) -> float:
        """Before the next attempt, after so many."""
        if self.backoff is None:
            return float(min(2**tries, DOUBLED_WAIT_SECONDS_MAX))
        return self.backoff[min(tries, len(self.backoff)) - 1]


@dataclass(frozen=True, slots=True)
class Command:
    """`/name` and what does it.

    needs -- what an operator must be permitted; None: everybody may.
    unavailable -- what happens while the database is.
    replaces -- it may take a built-in command's place.
    declared -- what a command of Ballast's own declares beside that; None of an app's.
    """

    name: str
    help: str
    needs: Permission | None
    handler: Handler
    unavailable: Unavailable
    replaces: bool
    declared: BuiltInCommand | None = None

    @property
    def arguments(self) -> type[BaseModel] | None:
        """What the words behind it become; None if it takes none, and of a built-in one, which reads its words in a way
        of its own.
        """
        return None if self.declared is not None else self.handler.payload


@dataclass(frozen=True, slots=True)
class UpdateHandler:
    """A function that takes updates which are neither a command nor a button.

    types -- of updates, as Telegram names them.
    check -- whether it wants one of these; None: each.
    unavailable -- what happens while the database is.
    handlers_before -- how many handlers of python-telegram-bot of the app's group 0 are asked before it.
    """

    handler: Handler
    types: tuple[str, ...]
    check: Callable[[Any], object] | None
    unavailable: Unavailable
    handlers_before: int

    @property
    def takes_messages(self) -> bool:
        """Whether they are what somebody wrote."""
        return any(name.endswith(("message", "post")) for name in self.types)


@dataclass(frozen=True, slots=True)
class HandledCommand:
    """A command of a handler of python-telegram-bot: its line in the menu, if it has one, and whether it may take a
    built-in command's place.
    """

    help: str | None
    replaces: bool


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a built-in command is called, and its line in the menu if that changes."""

    name: str
    help: str | None


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """What of Ballast's own an app has a bot without: by names, jobs by their types."""

    commands: set[str] = field(default_factory=set)
    buttons: set[str] = field(default_factory=set)
    jobs: set[type[Job]] = field(default_factory=set)
    periodic: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Cron:
    """Times in cron's five fields, on the clocks of a time zone."""

    expression: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Periodic:
    """Done once in each period of so many seconds, counted from 1970, or once at each time of a Cron.

    replaces -- the name of the built-in periodic job that it takes the place of.
    """

    when: int | Cron
    handler: Handler
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """As dbcore.ledger.audit has them: `offenders` gives one text a row for what is wrong."""

    name: str
    counted: str
    offenders: str
