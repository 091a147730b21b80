"""The peer of `make bench BENCH=commands`: the same Ballast with its jobs in Celery's messages alone.

No record before Telegram is told, no claim, no rescuer, no order per user: what stock Celery does. It loses jobs when a
process dies; it is here to say what it costs not to.

    celery -A benchmarks.without_inbox worker …
    python -m benchmarks.without_inbox              (the frontend)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballast.inbox import (
    Acceptance,
    Answered,
    CarriedClaim,
    Claims,
    Dispatch,
    Finish,
    Inbox,
    Note,
    Noted,
    Offer,
    Receipt,
)
from ballast.queueing.envelope import queue_of
from bot_frontend import __main__ as frontend
from workers import context, remote_control
from workers.celery import app
from workers.rescuer import RescuerStep


class NoInbox(Inbox):
    """Puts the whole job into the message, and takes it out again."""

    def accept_many(self, offers: Sequence[Offer], **_: Any) -> list[Receipt]:
        return [
            Receipt(
                Acceptance.ACCEPTED,
                Dispatch(
                    offer.envelope.model_dump_json(),
                    queue_of(offer.envelope.kind),
                    offer.envelope.kind,
                    sequence="",
                ),
            )
            for offer in offers
        ]

    def dialogues(self, keys: Sequence[str]) -> dict[str, str | None]:
        return {}

    def claim_many(self, owner: str, *, job_id: str = "", **_: Any) -> Claims:
        claim = CarriedClaim(at_ms=0, waited_ms=0, has_turn=False, record=job_id).claim(
            job_id, turn_until=0.0
        )
        return Claims((claim,), left=0)

    def note_many(self, notes: Sequence[Note]) -> list[Noted]:
        return [Noted(is_on_record=True, has_turn=False) for _ in notes]

    def finish_many(self, jobs: Sequence[Answered], *, idle: str | None = None) -> list[Finish]:
        return [Finish(following=None, notice=None) for _ in jobs]


app.steps["worker"].discard(RescuerStep)
remote_control.ID_LENGTH_MAX = 100_000  # for a job in place of its id
context.Inbox = NoInbox  # type: ignore[attr-defined]  # the one place where the peer differs

if __name__ == "__main__":
    frontend.Inbox = NoInbox  # type: ignore[attr-defined]
    frontend.main()
