"""The Celery application: `celery -A workers worker|beat|flower|call` find `app` here."""

from __future__ import annotations

from celery import Celery, signals

from workers import broker, process, unknown_kinds
from workers.logs import configure_logging
from workers.rescuer import RescuerStep
from workers.valve import ValveStep

broker.repair()
app = Celery(
    "ballast",
    task_cls=broker.Task,
    include=[
        "workers.tasks.users",
        "workers.tasks.balances",
        "workers.tasks.transactions",
        "workers.tasks.payments",
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

signals.setup_logging.connect(configure_logging, weak=False)
signals.celeryd_init.connect(process.note_node, weak=False)
signals.task_unknown.connect(unknown_kinds.on_unknown_task, weak=False)
signals.worker_process_init.connect(process.start, weak=False)
signals.worker_process_shutdown.connect(process.stop, weak=False)
