"""The task that reads the status page's board. The frontend asks for it while somebody watches; it is on the probe's
queue, and beside everything: while the breaker lets nothing through it leaves the last board as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog

from ballast.status import board, counters
from dbcore import admin_actions, failed_operations
from dbcore.breaker.compute_usage import compute_usage
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus, Progress
from dbcore.errors import DatabaseAway
from dbcore.fingerprints import fingerprint
from dbcore.people import approvals
from dbcore.redis_client import redis_time
from dbcore.text import one_line
from workers.celery import Task, upkeep
from workers.context import WorkerContext

log = structlog.get_logger(__name__)

SHOWN_MAX = 20
ERROR_LENGTH_MAX = 200


@upkeep(board.TASK)
def read_board(task: Task) -> None:
    """Read it, where it is not fresh and the database may be asked; leave it in Redis."""
    worker = task.context
    now = redis_time(worker.redis)
    work = board.work_done(counters.read(worker.redis))
    is_thrifty = worker.settings.health_probe_mode == "thrifty"
    awake = compute_usage(worker.redis, worker.settings) if is_thrifty else None
    if not board.is_due(worker.redis, now=now, work=work, awake=awake):
        return
    try:
        board.keep(worker.redis, {"at": now, "work": work, **_read(worker)})
    except DatabaseAway as away:
        log.info("board_waits", kind=away.kind)


def _read(worker: WorkerContext) -> dict[str, Any]:
    engine = worker.engine
    letters = failed_operations.list_open(engine, SHOWN_MAX)
    newest = broadcasts.list_recent(engine, SHOWN_MAX)
    return {
        "dead_letters": {
            "open": failed_operations.count_open(engine) if len(letters) == SHOWN_MAX else len(letters),
            "items": [
                {
                    "reference": letter.reference,
                    "kind": letter.kind,
                    "at": letter.created_at.timestamp(),
                    "error": one_line(letter.error, ERROR_LENGTH_MAX),
                }
                for letter in letters
            ],
        },
        "approvals": {"waiting": approvals.count_waiting(engine)},
        "broadcasts": [
            _described(worker, each) for each in newest if each.status is not BroadcastStatus.DRAFT
        ],
        "broadcasts_mark": fingerprint("broadcasts", *map(repr, newest)),
        "actions": [
            {
                "action_id": each.action_id,
                "at": each.created_at.timestamp(),
                "actor": each.actor,
                "action": each.action,
                "target": each.target,
                "outcome": one_line(each.outcome),
            }
            for each in admin_actions.recent(engine, SHOWN_MAX)
        ],
    }


def _described(worker: WorkerContext, broadcast: Progress) -> dict[str, Any]:
    rate = None
    if broadcast.status is BroadcastStatus.SENDING:
        rate = worker.broadcaster.lanes.cards.measured_rate(broadcast.id, broadcast.done)
    return {
        "id": broadcast.id,
        "status": broadcast.status.value,
        "audience": broadcast.audience,
        "sent": broadcast.sent,
        "blocked": broadcast.blocked,
        "failed": broadcast.failed,
        "unknown": broadcast.unknown,
        "rate": rate,
        "eta_seconds": broadcast.left / rate if rate else None,
        "halted_reason": broadcast.halted_reason and one_line(broadcast.halted_reason),
        "scheduled_for": _seconds(broadcast.scheduled_for),
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
