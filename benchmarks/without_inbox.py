"""The peer of `make bench BENCH=commands`: the same Ballast with its jobs in Celery's messages alone.

No record before Telegram is told, no claim, no rescuer, no order per user: what stock Celery does. It loses jobs when a
process dies; it is here to say what it costs not to.

    celery -A benchmarks.without_inbox worker …
    python -m benchmarks.without_inbox              (the frontend)
"""

from __future__ import annotations

from collections.abc import Iterable

from bot_frontend import __main__ as frontend
from dbcore.known_balances import SeenBalance
from workers import process
from workers.celery import app
from workers.inbox import Acceptance, Claim, DialogueStep, Inbox, Receipt, Ticket
from workers.inbox.inbox import Finish
from workers.jobs import Envelope, queue_of
from workers.rescuer import RescuerStep


class NoInbox(Inbox):
    """Puts the whole job into the message, and takes it out again."""

    def accept(
        self,
        envelope: Envelope,
        *,
        failure: str | None = None,
        dialogue: DialogueStep | None = None,
        size_max: int = 0,
    ) -> Receipt:
        ticket = Ticket(envelope.model_dump_json(), queue_of(envelope.kind), envelope.kind, place="")
        return Receipt(Acceptance.ACCEPTED, ticket)

    def dialogue(self, key: str) -> str | None:
        return None

    def claim(self, job_id: str, owner: str, *, queue: str = "", place: str = "") -> Claim | None:
        return Claim(
            Envelope.model_validate_json(job_id),
            deliveries=1,
            reply=None,
            failure=None,
            sent=0,
            uncertain=0,
            unavailable=0,
            claimed_at_ms=0,
            waited_ms=0,
        )

    def note_sent(self, job_id: str, sent: int) -> None:
        pass

    def finish(self, job_id: str, balances: Iterable[SeenBalance] = (), *, seen_at_ms: int = 0) -> Finish:
        return Finish(following=None, notice=None)


app.steps["worker"].discard(RescuerStep)
process.Inbox = NoInbox  # type: ignore[attr-defined]  # the one place where the peer differs

if __name__ == "__main__":
    frontend.Inbox = NoInbox  # type: ignore[attr-defined]
    frontend.main()
