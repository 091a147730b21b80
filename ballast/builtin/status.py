"""How all is, and what operators do about it."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from ballast.builtin.app import BuiltInApp
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.queueing.queues import DATABASE_QUEUES
from ballast.queueing.worker_drains import WORKER
from ballast.texts import gettext_noop
from dbcore.expectations import shaped

ACTION_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
REFERENCE = shaped(r"^[A-Z2-7]{8}$", "a reference such as 7F3KQ2MA")
QUEUE = shaped(f"^({'|'.join(DATABASE_QUEUES)})$", f"one of {', '.join(DATABASE_QUEUES)}")
BROADCAST_ID = shaped(r"^[1-9][0-9]{0,17}$", "the number of a broadcast")
REASON_LENGTH_MAX = 200


class ShowDatabaseStatus(Job):
    """/dbstatus. From what Redis holds, so it needs no database."""

    kind = "health.database_status"


class OperatorAction(Job):
    """What an operator ordered on the status page. A word for the breaker, a queue or a worker has taken effect by
    then, and is only written down.

    action_id -- drawn by the page: by it the order takes effect once.
    target -- a dead letter's reference, a broadcast's id, a queue, or a worker's name; the breaker needs none.
    at -- when it was ordered, seconds since 1970 by Redis's clock.
    """

    kind = "health.act"
    action_id: str = Field(pattern=ACTION_ID)
    actor: str = Field(min_length=1, max_length=80)
    action: Literal[
        "breaker.open",
        "breaker.close",
        "breaker.auto",
        "queue.pause",
        "queue.resume",
        "worker.drain",
        "worker.drain_last",
        "worker.resume",
        "dead_letter.retry",
        "dead_letter.discard",
        "broadcast.pause",
        "broadcast.resume",
        "broadcast.cancel",
    ]
    target: str = Field(default="", max_length=129)
    at: float
    reason: str = Field(default="", max_length=REASON_LENGTH_MAX)

    @model_validator(mode="after")
    def _target_of_its_sort(self) -> Self:
        sort = self.action.partition(".")[0]
        if not re.fullmatch(_TARGETS[sort], self.target):
            raise ValueError(f"target: expected {_TARGETS_MEANT[sort]}")
        return self


_TARGETS = {
    "breaker": "^$",
    "dead_letter": REFERENCE,
    "broadcast": BROADCAST_ID,
    "queue": QUEUE,
    "worker": WORKER,
}
_TARGETS_MEANT = {
    "breaker": "nothing",
    "dead_letter": "a reference of eight letters and digits",
    "broadcast": "a broadcast's id",
    "queue": f"one of {', '.join(DATABASE_QUEUES)}",
    "worker": "a worker's name, such as main@host",
}


status = BuiltInApp(
    "health",
    tasks=["workers.tasks.health", "workers.tasks.status", "workers.tasks.board", "workers.tasks.events"],
)

status.built_in_job(ShowDatabaseStatus, database="none")
status.built_in_job(
    OperatorAction,
    database="write",
    internal="it keeps what operators order in the audit log, each order once",
)

status.built_in_command(
    "dbstatus",
    ShowDatabaseStatus,
    help=gettext_noop("Show the state of the database, the queue and the workers"),
    needs=Permission.SEE_STATUS,
    is_linked=True,
)
# Two beats are harmless: the probe takes a lease for each period.
status.schedule(
    "health-probe",
    "workers.health.probe",
    lambda settings, _: settings.health_probe_seconds,
    queue="health",
    expires_before=5,
    internal="it finds out that the database is back",
)
