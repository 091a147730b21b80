"""Every kind of job there is, and what each needs of the database, as Ballast's own apps and authors' declare it."""

from __future__ import annotations

from ballast.jobs import Job
from ballast.queues import DATABASE_QUEUES
from workers.jobs.apps import APP_JOB_TYPES
from workers.jobs.installed import INSTALLED
from workers.jobs.jobs import queue_of

JOB_TYPES: dict[str, type[Job]] = {
    **{
        handler.kind: job_type
        for app in INSTALLED.everybody
        for job_type, handler in app.jobs.items()
        if handler.declared is not None and handler.kind in INSTALLED.handlers
    },
    **APP_JOB_TYPES,
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
