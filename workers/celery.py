"""The Celery application: `celery -A workers worker|beat|flower|call` find `app` here."""

from __future__ import annotations

from celery import Celery, signals

from ballast.builtin import BUILT_IN
from workers import flower_defaults, kombu_patches, process, unknown_kinds
from workers.garbage import spare_what_stays
from workers.logs import configure_logging
from workers.queue_pauser import QueuePauserStep
from workers.rescuer import RescuerStep

kombu_patches.install()
app = Celery(
    "ballast",
    task_cls=kombu_patches.Task,
    include=[module for own in BUILT_IN for module in own.tasks],
)
app.config_from_object("workers.celeryconfig")
process.bind(app)
if flower_defaults.is_flower():
    flower_defaults.apply()
app.steps["worker"].add(RescuerStep)
app.steps["consumer"].add(QueuePauserStep)

signals.setup_logging.connect(configure_logging, weak=False)
signals.celeryd_init.connect(process.note_node, weak=False)
signals.task_unknown.connect(unknown_kinds.on_unknown_task, weak=False)
signals.worker_ready.connect(spare_what_stays, weak=False)
signals.worker_process_init.connect(process.start, weak=False)
signals.worker_process_shutdown.connect(process.stop, weak=False)
