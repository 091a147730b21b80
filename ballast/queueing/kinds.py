"""Every kind of job there is, and what each needs of the database, as Ballast's own apps and authors' declare it.

A kind never changes once released, for jobs of the last release may still wait in Redis. It names the task
(`workers.<kind>`), and of Ballast's own kinds the first word names the queue.
"""

from __future__ import annotations

from types import new_class
from typing import Any

from pydantic import Field

from ballast.apps.installed import INSTALLED
from ballast.builtin.jobs import UserJob
from ballast.jobs import Job, TelegramUpdate
from ballast.queueing.envelope import queue_of
from ballast.queueing.queues import DATABASE_QUEUES


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


_APP_JOB_TYPES: dict[str, type[Job]] = {
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

JOB_TYPES: dict[str, type[Job]] = {
    **{
        handler.kind: job_type
        for app in INSTALLED.everybody
        for job_type, handler in app.jobs.items()
        if handler.declared is not None and handler.kind in INSTALLED.handlers
    },
    **_APP_JOB_TYPES,
}

READING_KINDS = frozenset(kind for kind, handler in INSTALLED.handlers.items() if handler.database == "read")
"""What a database that is full or read-only can still do."""

DATABASE_KINDS = frozenset(kind for kind, handler in INSTALLED.handlers.items() if handler.database != "none")

WRITING_KINDS = tuple(
    kind for kind in JOB_TYPES if queue_of(kind) in DATABASE_QUEUES and kind not in READING_KINDS
)

TOLD_TO_WAIT = frozenset(
    kind
    for kind, handler in INSTALLED.handlers.items()
    if (kind in DATABASE_KINDS if handler.declared is None else handler.declared.waiting is not None)
)
"""Kinds whose people are told that their command is saved: those that need the database and answer somebody, and the
press of an app's button, which may wait behind them.
"""
