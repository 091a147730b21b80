"""Prints as JSON what Ballast makes of what the `ballast/builtin` in the current folder declares."""

from __future__ import annotations

import json
from dataclasses import replace

from ballast.apps.installed import INSTALLED
from ballast.builtin.replacing import JOBS
from ballast.queueing.envelope import queue_of
from ballast.queueing.kinds import JOB_TYPES, READING_KINDS, TOLD_TO_WAIT, WRITING_KINDS
from bot_frontend.router import route
from bot_frontend.texts import ADMIN_COMMANDS, PUBLIC_COMMANDS, help_text, menu
from bot_frontend.updates import Sender, TextMessage
from dbcore.roles import Role
from dbcore.settings import load_settings
from workers import handlers
from workers.celery import app


def kind_of(words: str) -> str:
    reading = TextMessage(5, 1, 1001, True, Sender(1001, "ada", "Ada"), words)
    intention = route(replace(reading, text=words), None, load_settings())
    assert intention is not None
    return intention.job.kind


def main() -> None:
    app.loader.import_default_modules()
    found = {
        "menu": dict(menu()),
        "admins": {name: line for name, line in menu(Role.OWNER) if name in ADMIN_COMMANDS},
        "help": help_text().splitlines(),
        "kinds": {f"/{name}": kind_of(f"/{name}") for name in (*PUBLIC_COMMANDS, *ADMIN_COMMANDS)},
        "queues": {kind: queue_of(kind) for kind in JOB_TYPES},
        "reading": [*READING_KINDS],
        "writing": [*WRITING_KINDS],
        "told": [*TOLD_TO_WAIT],
        "tasks": [name.removeprefix("workers.") for name in app.tasks],
        "without_task": [kind for kind in JOB_TYPES if handlers.find(kind) is None],
        "schedule": [*app.conf.beat_schedule],
        "places": {
            job_type.kind: [job_type.__module__, handlers.own_handler_of(job_type.kind).apply.__module__]
            for job_type in JOBS
            if handlers.find(job_type.kind) is not None or job_type.kind in INSTALLED.taken_away
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
