"""Tells the admins, once, that the database's quota is used up: nothing mends that by itself.

Looked at by the rescuer, so by one worker at a time. The message goes out as a job like any other, by an id that is
made of the event, so that two rescuers at a change of guard tell it once.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import cast

import redis
import structlog

from dbcore.breaker_rules import BreakerReason, BreakerState
from dbcore.fleet import FleetView
from workers import texts
from workers.inbox import Inbox, Publisher
from workers.jobs import DeliverReply, Envelope
from workers.messages import Message

log = structlog.get_logger(__name__)

_EVENT = "ballast:quota_alarm"
"""The event that was told; gone once the breaker is closed."""


class QuotaAlarm:
    """admin_ids -- Telegram ids of those who are told."""

    def __init__(
        self, client: redis.Redis, inbox: Inbox, publisher: Publisher, admin_ids: Collection[int]
    ) -> None:
        self._redis = client
        self._inbox = inbox
        self._publisher = publisher
        self._admin_ids = sorted(admin_ids)
        self._told: bool | None = None  # None: whoever looked before may have told

    def look(self, fleet: FleetView) -> None:
        """Tell what is new; forget what is over."""
        if fleet.reason is BreakerReason.QUOTA and fleet.state is not BreakerState.CLOSED:
            self._tell()
        elif fleet.state is BreakerState.CLOSED and self._told is not False:
            self._redis.delete(_EVENT)
            self._told = False

    def _tell(self) -> None:
        if self._told:
            return
        self._redis.set(_EVENT, uuid.uuid4().hex, nx=True)
        event = cast(bytes, self._redis.get(_EVENT))
        log.error("quota_exhausted", what_to_do=texts.QUOTA_EXHAUSTED)
        for admin_id in self._admin_ids:
            job_id = f"quota-{str(event, 'ascii')}-{admin_id}"
            message = DeliverReply(messages=(Message(chat_id=admin_id, text=texts.QUOTA_EXHAUSTED),))
            ticket = self._inbox.accept(
                Envelope.of(message, job_id=job_id, lane=job_id, chat_id=admin_id)
            ).ticket
            if ticket is not None:
                self._publisher.publish(ticket)
        self._told = True
