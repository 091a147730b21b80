"""`BuiltInApp`: an `App` of Ballast's own, whose jobs are done by tasks of the workers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

from ballast.app import App
from ballast.apps.registered import Command, Handler, Outcome
from ballast.builtin.declared import BuiltInButton, BuiltInCommand, BuiltInJob, Scheduled, Waiting
from ballast.builtin.words import not_permitted
from ballast.context import Database
from ballast.jobs import OWNER, Job
from ballast.operators.permissions import Permission, may
from ballast.replies import Reply
from dbcore.redis_pace import RedisPace
from dbcore.settings import Settings


def _by_its_task(*_: Any) -> Outcome:
    raise NotImplementedError("a task of the workers does it")


class BuiltInApp(App):
    """Its commands, jobs and periodic functions may also be declared as an author's are, in one place."""

    def __init__(self, name: str, *, tasks: Sequence[str]) -> None:
        """tasks -- the modules whose `job_task`s do its jobs. Workers import them."""
        super().__init__(name)
        self.tasks = tuple(tasks)
        self.buttons: list[BuiltInButton] = []
        self.scheduled: list[Scheduled] = []

    def built_in_job(
        self,
        job_type: type[Job],
        *,
        database: Database,
        waiting: Waiting | None = None,
        takes_its_time: bool = False,
        asked_by: str | None = OWNER,
        internal: str | None = None,
        needed: str | None = None,
    ) -> None:
        """A job that a task of the workers does, unless an app replaces it. Its queue is the first word of its kind.

        internal, needed -- the end of the sentence that refuses to replace it or to switch it off, such as `it …`.
        """
        own = BuiltInJob(
            queue=job_type.kind.partition(".")[0],
            waiting=waiting,
            takes_its_time=takes_its_time,
            asked_by=asked_by,
            internal=internal,
            needed=needed,
        )
        self.jobs[job_type] = Handler(job_type.kind, _by_its_task, job_type, database, 1, declared=own)

    def chat_job(
        self, job_type: type[Job], *, database: Database, by: str, needs: Permission | None = None
    ) -> None:
        """A job that is done as an author's is.

        by -- its function, such as `ballast.people.chat:show`. It is imported for the first job: those modules need all
        that is installed. needs -- what whoever asks must be permitted when it is done.
        """
        module, _, function = by.partition(":")

        def handler(ctx: Any, job: Any) -> Any:
            if needs is not None and not may(ctx.settings.role_of(ctx.user.telegram_id), needs):
                return Reply(not_permitted())  # they might do it when the button was made
            return getattr(import_module(module), function)(ctx, job)

        self.job(job_type, database=database)(handler)

    def built_in_command(
        self,
        word: str,
        job_type: type[Job],
        *,
        help: str,
        needs: Permission | None = None,
        fields: Mapping[str, Any] | None = None,
        alone: Literal["anything", "somebody"] | None = None,
        is_linked: bool = False,
        names_somebody: bool = False,
        leaves_dialogue: bool = False,
        is_telegrams: bool = False,
    ) -> None:
        """A command whose job the frontend makes: of `fields` and its sender, or by its function for that word.

        help -- `{name}` in it is what the command is called. needs -- as of a Command.
        """
        own = BuiltInCommand(
            word=word,
            help=help,
            fields=fields or {},
            alone=alone,
            is_linked=is_linked,
            names_somebody=names_somebody,
            leaves_dialogue=leaves_dialogue,
            is_telegrams=is_telegrams,
        )
        self.commands.append(Command(word, help, needs, self.jobs[job_type], "queue", False, declared=own))

    def built_in_button(
        self,
        name: str,
        data: re.Pattern[str],
        *,
        leads_to: Sequence[type[Job]],
        below: Sequence[type[Job]] = (),
        labels: Sequence[str] = (),
        internal: str | None = None,
    ) -> None:
        """A button of Ballast's own, whose job the frontend makes by its function for that name.

        data -- a pattern of button_data.py.
        """
        self.buttons.append(BuiltInButton(name, data, tuple(leads_to), tuple(below), tuple(labels), internal))

    def schedule(
        self,
        name: str,
        task: str,
        seconds: Callable[[Settings, RedisPace], float],
        *,
        queue: str,
        expires_before: float = 0,
        needed_by: Sequence[type[Job]] = (),
        internal: str | None = None,
    ) -> None:
        """Have beat ask for a task every so often."""
        self.scheduled.append(
            Scheduled(name, task, queue, seconds, expires_before, tuple(needed_by), internal)
        )
