"""Runs of apps' periodic functions that are asked for by name, beside those of their periods."""

from __future__ import annotations

import uuid

from ballast.apps.installed import INSTALLED
from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.jobs import JobInvalid
from ballast.queueing.envelope import Envelope
from ballast.queueing.kinds import JOB_TYPES
from ballast.texts import gettext


def run_now(inbox: Inbox, publisher: Publisher, name: str) -> str:
    """Have a worker run the function once, by the job and in the lane of its periods' runs. Returns the job's id.

    name -- the function's, or its kind, such as `shop.every.tidy`. Raises JobInvalid if there is none or more than one
    of that name, or no room; redis.RedisError.
    """
    kinds = [kind for kind in INSTALLED.periodic if name in {kind, kind.rpartition(".")[2]}]
    if len(kinds) != 1:
        names = ", ".join(kinds or sorted(INSTALLED.periodic))
        if not names:
            raise JobInvalid(gettext("no app has a periodic function; got {text}", text=repr(name)))
        raise JobInvalid(gettext("expected one of {names}; got {text}", names=names, text=repr(name)))
    (kind,) = kinds
    job_id = f"every-{kind}-{uuid.uuid4().hex}"
    receipt = inbox.accept(Envelope.of(JOB_TYPES[kind](), job_id=job_id, lane=lane_of(kind)))
    if receipt.status is not Acceptance.ACCEPTED:
        raise JobInvalid(gettext("{kind}: too many jobs wait; nothing was queued", kind=kind))
    if receipt.dispatch is not None:
        publisher.publish(receipt.dispatch)
    return job_id


def lane_of(kind: str) -> str:
    """One run of a function at a time."""
    return f"every:{kind}"
