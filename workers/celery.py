"""The Celery application: `celery -A workers worker|beat|flower|call` find `app` here."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from ballast.builtin import BUILT_IN
from ballast.process.garbage import spare_what_stays
from ballast.process.logs import configure_logging
from workers import flower_defaults, kombu_patches, unknown_kinds
from workers.context import WorkerContext, WorkerContexts
from workers.queue_pauser import QueuePauserStep
from workers.rescuer import RescuerStep


class Application(Celery):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.contexts = WorkerContexts(self)


class Task(kombu_patches.Task):
    """What all tasks of the application are."""

    @property
    def context(self) -> WorkerContext:
        """What the process has that runs it."""
        contexts: WorkerContexts = self.app.contexts
        return contexts.mine()


kombu_patches.install()
app = Application(
    "ballast",
    task_cls=Task,
    include=[module for own in BUILT_IN for module in own.tasks],
)
app.config_from_object("workers.celeryconfig")


def upkeep(name: str) -> Any:
    """A task that is no job: beat or a process of ours asks for it, every few seconds some of them. It sends no events,
    so it does not bury people's jobs in Flower's list. Operators may start it by its name.
    """
    return app.task(name=name, bind=True, send_events=False)


if flower_defaults.is_flower():
    flower_defaults.apply()
app.steps["worker"].add(RescuerStep)
app.steps["consumer"].add(QueuePauserStep)

signals.setup_logging.connect(configure_logging, weak=False)
signals.celeryd_init.connect(app.contexts.note_node, weak=False)
signals.task_unknown.connect(unknown_kinds.on_unknown_task, weak=False)
signals.worker_ready.connect(spare_what_stays, weak=False)
signals.worker_process_init.connect(app.contexts.start, weak=False)
signals.worker_process_shutdown.connect(app.contexts.stop, weak=False)
