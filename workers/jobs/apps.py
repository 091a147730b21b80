"""The jobs of apps: those they define, their commands, and the runs of what is periodic."""

from __future__ import annotations

from types import new_class
from typing import Any

from pydantic import Field

from ballast.builtin.jobs import UserJob
from ballast.jobs import Job, TelegramUpdate
from workers.jobs.installed import INSTALLED


class AppCommand(UserJob):
    """Somebody's command, with the arguments as the app's model dumps them."""

    arguments: dict[str, Any] = Field(default_factory=dict)


class PeriodicRun(Job):
    """One run of what an app does every so often."""


APPS_WITH_HANDLERS = tuple(app for app in INSTALLED.apps if app.telegram_handlers or app.updates)
"""Those that take updates, by functions or by handlers of python-telegram-bot. An update is the first one's that wants
it.
"""


def _of_kind(base: type[Job], kind: str) -> type[Job]:
    return new_class(kind, (base,), {"kind": kind})


APP_JOB_TYPES: dict[str, type[Job]] = {
    **{
        command.handler.kind: _of_kind(AppCommand, command.handler.kind)
        for app in INSTALLED.everybody
        for command in app.commands
        if command.declared is None
    },
    **{
        kind: job_type if job_type.kind == kind else _of_kind(job_type, kind)
        for kind, job_type in INSTALLED.jobs.items()
    },
    **{kind: _of_kind(PeriodicRun, kind) for kind in INSTALLED.periodic},
    **{
        handler.kind: _of_kind(TelegramUpdate, handler.kind)
        for app in APPS_WITH_HANDLERS
        for handler in app.running_telegram_handlers
    },
    **{kind: _of_kind(TelegramUpdate, kind) for kind in INSTALLED.updates},
}
