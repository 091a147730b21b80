"""What operators order on the status page: a word for the breaker, a queue or a worker at once, in Redis; the rest as a
job of the inbox, for it needs the database. Each takes effect once by its id, however often it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import redis
import structlog

from ballast.builtin.status import OperatorAction
from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.queueing import queue_pauses, worker_drains
from ballast.queueing.envelope import Envelope
from ballast.status import actions
from ballast.texts import gettext, gettext_noop
from dbcore.breaker import override
from dbcore.redis_client import redis_time

log = structlog.get_logger(__name__)

LANE = "operators"
"""One for all: in the order in which they were given."""

DONE, QUEUED = "done", actions.QUEUED

_WORDS = {
    "breaker.open": gettext_noop("Database access is paused; every process knows within a second."),
    "breaker.close": gettext_noop("The breaker is ignored; every process knows within a second."),
    "breaker.auto": gettext_noop("The breaker decides again; every process knows within a second."),
    "queue.pause": gettext_noop("The queue is paused; every worker knows within four seconds."),
    "queue.resume": gettext_noop("The queue is resumed; every worker knows within four seconds."),
    "worker.drain": gettext_noop("The worker drains: it takes no more jobs, and finishes what it has."),
    "worker.drain_last": gettext_noop("The worker drains: it takes no more jobs, and finishes what it has."),
    "worker.resume": gettext_noop("The worker takes jobs again within four seconds."),
}


class ActionConflict(Exception):
    """The id stands for another order."""


class NoRoom(Exception):
    """It cannot be taken on record now. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """state -- done, or queued. words -- in the language that is spoken. replayed -- whether the same order came
    before.
    """

    state: str
    words: str
    replayed: bool = False


class Actions:
    """Synchronous, and bounded by the client's time-outs. Raises redis.RedisError."""

    def __init__(self, client: redis.Redis, inbox: Inbox, publisher: Publisher) -> None:
        self._redis = client
        self._inbox = inbox
        self._publisher = publisher

    def take(self, action_id: str, actor: str, action: str, target: str, reason: str = "") -> Accepted:
        """Raises ballast.jobs.JobInvalid with a sentence, ActionConflict, NoRoom, NoSuchWorker, WouldLeaveAlone."""
        fields: dict[str, Any] = {"action_id": action_id, "actor": actor, "action": action, "target": target}
        order = OperatorAction.decode({**fields, "at": redis_time(self._redis), "reason": reason})
        known = actions.known(self._redis, action_id)
        if known is not None:
            if (known["action"], known["target"]) != (action, target):
                raise ActionConflict
            return replace(_told(known["action"], known["outcome"]), replayed=True)
        kind, _, word = order.action.partition(".")
        match kind, word:
            case "breaker", _:
                override.set_override(self._redis, word, order.actor)
            case "queue", "pause":
                queue_pauses.pause(self._redis, order.target, order.actor)
            case "queue", _:
                queue_pauses.resume(self._redis, order.target)
            case "worker", "resume":
                worker_drains.resume(self._redis, order.target)
            case "worker", _:
                worker_drains.drain(
                    self._redis,
                    order.target,
                    order.actor,
                    self._inbox.processes(),
                    even_last=word == "drain_last",
                )
            case _:
                self._have_it_done(order, QUEUED)
                return _told(order.action, QUEUED)
        try:
            self._have_it_done(order, DONE)
        except NoRoom:
            log.error("not_in_the_books", action=order.action, actor=order.actor, action_id=order.action_id)
            actions.note(self._redis, order, DONE, first=True)
        return _told(order.action, DONE)

    def _have_it_done(self, order: OperatorAction, outcome: str) -> None:
        receipt = self._inbox.accept(Envelope.of(order, job_id=f"action-{order.action_id}", lane=LANE))
        if receipt.status in {Acceptance.FULL, Acceptance.CROWDED}:
            raise NoRoom
        actions.note(self._redis, order, outcome, first=True)
        if receipt.dispatch is not None:
            self._publisher.publish(receipt.dispatch)


def _told(action: str, outcome: str) -> Accepted:
    if outcome == QUEUED:
        return Accepted(
            QUEUED,
            gettext(
                "A worker does it in a moment, or once the database is available. "
                'The result will appear under "Operator actions".'
            ),
        )
    if outcome == DONE and action in _WORDS:
        return Accepted(DONE, gettext(_WORDS[action]))
    return Accepted(DONE, gettext("It is {outcome}.", outcome=outcome))
