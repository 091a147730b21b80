"""What the shell orders in Redis, written down in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis


def write_down(client: redis.Redis, action: str, target: str, reason: str = "") -> None:
    """It took effect already; a worker writes it down, once the database is available. Raises redis.RedisError."""
    import uuid

    from ballast.builtin.status import OperatorAction
    from ballast.inbox import Inbox, Publisher
    from ballast.queueing.envelope import Envelope
    from dbcore.breaker.override import user_here
    from dbcore.redis_client import redis_time

    order = OperatorAction.decode(
        {
            "action_id": str(uuid.uuid4()),
            "actor": user_here(),
            "action": action,
            "target": target,
            "at": redis_time(client),
            "reason": reason,
        }
    )
    receipt = Inbox(client).accept(Envelope.of(order, job_id=f"action-{order.action_id}", lane="operators"))
    if receipt.dispatch is not None:
        Publisher(client).publish(receipt.dispatch)
