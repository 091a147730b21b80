"""What a task's function receives, and what it may leave for the reply sender's loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog

from ballast.apps.installed import INSTALLED
from ballast.chat.languages import Languages
from ballast.chat.origins import Origin
from ballast.jobs import Job
from ballast.messages import Message
from ballast.telegram.presses import TOAST_LENGTH_MAX
from ballast.texts import speaking
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.ledger.users import UserAccount
from dbcore.outcomes import Outcome
from dbcore.settings import Settings
from workers.context import WorkerContext
from workers.texts import escape

if TYPE_CHECKING:
    from telegram import Bot

J = TypeVar("J", bound=Job)
T = TypeVar("T")

AsyncStep = Callable[["Bot | None"], Coroutine[None, None, list[Message]]]
"""What is left of a job for the reply sender's event loop: it gets the bot, if there is one, and returns the answer."""

_STARTED_WITH = {
    command.handler.kind: word
    for word, command in INSTALLED.own_commands.items()
    if command.declared is not None and command.declared.is_linked
}
"""What a link to the private chat asks for, by the kind of job whose answer could not be sent there."""


@dataclass(frozen=True)
class TaskContext(Generic[J]):
    """What a task's function receives: the job, where its answer goes, and the doorway to the database.

    origin -- where the job came from; None if nobody waits for an answer.
    message_id -- the message whose button was pressed.
    callback_id -- the press that is to be answered.
    waited_seconds -- from when it was queued until this process took it.
    uncertain -- how many times it sent a message that may have arrived, without an answer that says so.
    tries -- how many times it raised before.
    lane -- its user's.
    language, time_zone -- of whoever reads the answer, spoken while the job is done by itself. None: English, and that
        of TIMEZONE.
    worker -- what the process has that does it.
    """

    job: J
    job_id: str
    lane: str
    origin: Origin | None
    message_id: int | None
    callback_id: str | None
    waited_seconds: float
    uncertain: int
    tries: int
    language: str | None
    time_zone: str | None
    worker: WorkerContext
    balances: list[BalanceSnapshot] = field(default_factory=list)
    """What the job saw of balances: the last known ones while the database is unavailable."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What became of money."""

    @property
    def engine(self) -> GuardedEngine:
        return self.worker.engine

    @property
    def settings(self) -> Settings:
        """With the roles that are in force."""
        return self.worker.inbox.roles.in_force(self.worker.settings)

    @property
    def languages(self) -> Languages:
        """Which one anybody else reads."""
        return self.worker.inbox.languages

    def note_read(
        self,
        telegram_id: int,
        balance: int,
        version: int,
        currency: str | None = None,
        held: int | None = None,
    ) -> None:
        """Somebody's balance was read. currency -- None for the first. held -- what of it is reserved; None if that was
        not read.
        """
        self.balances.append(
            BalanceSnapshot(telegram_id, currency or self.settings.currency, balance, version, held)
        )

    def note_account(self, account: UserAccount) -> None:
        """All balances of somebody were read."""
        for each in account.balances:
            self.note_read(account.telegram_id, each.balance, each.version, each.currency, each.held)

    def note(self, outcome: Outcome) -> None:
        """What became of money, and the balances of those whom it concerns."""
        self.outcomes.append(outcome)
        self.balances.extend(outcome.balances_now)

    def answer(
        self,
        text: str,
        buttons: Sequence[Sequence[Any]] = (),
        *,
        edit: bool = False,
        picture: str | None = None,
    ) -> list[Message]:
        """The answer, for the asker alone: a command in a group is answered in the private chat. Empty if nobody waits.

        edit -- put it in place of the message whose button was pressed.
        """
        if self.origin is None:
            return []
        return self.origin.privately(
            text,
            buttons,
            edit_message_id=self.message_id if edit else None,
            picture=picture,
            opens=_STARTED_WITH.get(self.job.kind, "start"),
        )

    def answer_publicly(
        self, text: str, buttons: Sequence[Sequence[Any]] = (), *, edit: bool = False
    ) -> list[Message]:
        """The answer, for everybody in the chat to read: no balance, and nothing else that is private."""
        if self.origin is None:
            return []
        return [
            self.origin.publicly(text, buttons, edit_message_id=self.message_id if edit else None),
        ]

    def to_other(self, telegram_id: int, text: Callable[[], str]) -> Message:
        """What somebody else is told, in their private chat and their language."""
        with self.languages.speaking_to(telegram_id):
            return Message(chat_id=telegram_id, text=text())

    def toast(self, text: str, *, matters: bool) -> list[Message]:
        """The answer to a press, shown to the presser alone and not sent.

        text -- plain, at most 200 characters, or it is sent as a message.
        matters -- send it as a message if it can no longer be shown.
        """
        if self.callback_id is None or len(text) > TOAST_LENGTH_MAX:
            return self.answer(escape(text))
        return [
            message.model_copy(update={"toast": self.callback_id, "matters": matters})
            for message in self.answer(escape(text))[:1]
        ]


def each_as_itself(
    tasks: Sequence[TaskContext[J]],
    outcomes: Iterable[T],
    answer: Callable[[TaskContext[J], T], list[Message]],
) -> list[list[Message]]:
    """The answers of jobs that were done together: each in the language of its reader, and logged as its own."""
    answers = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        with (
            structlog.contextvars.bound_contextvars(job_id=task.job_id),
            speaking(task.language, task.time_zone),
        ):
            answers.append(answer(task, outcome))
    return answers
