"""The Celery application: `celery -A workers worker|beat|flower|call` find `app` here."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from workers import broker, process
from workers.logs import configure_logging
from workers.rescuer import RescuerStep
from workers.valve import ValveStep

ARGUMENTS_SHOWN_MAX = 200


def hide_arguments(headers: dict[str, Any], body: Any, **_celery: Any) -> None:
    """Events and Flower show what a task was called with, and an operator's call carries people's text: its
    arguments' names are enough. Jobs from the inbox carry their id alone.
    """
    positional, named, _ = body
    headers["argsrepr"] = f"{len(positional)} positional" if positional else ""
    headers["kwargsrepr"] = ", ".join(map(str, named))[:ARGUMENTS_SHOWN_MAX]


broker.repair()
app = Celery(
    "ballast",
    task_cls=broker.Task,
    include=[
        "workers.tasks.users",
        "workers.tasks.balances",
        "workers.tasks.transactions",
        "workers.tasks.broadcasts",
        "workers.tasks.replies",
        "workers.tasks.health",
        "workers.tasks.status",
        "workers.tasks.operators",
        "workers.tasks.board",
    ],
)
app.config_from_object("celeryconfig")
app.steps["worker"].add(RescuerStep)
app.steps["consumer"].add(ValveStep)

signals.before_task_publish.connect(hide_arguments, weak=False)
signals.setup_logging.connect(configure_logging, weak=False)
signals.celeryd_init.connect(process.note_node, weak=False)
signals.worker_process_init.connect(process.start, weak=False)
signals.worker_process_shutdown.connect(process.stop, weak=False)
