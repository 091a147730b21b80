"""An author's app whose gifts are done in batches: each is a credit, and a row of the ledger alone."""

from __future__ import annotations

from ballast import Adjustment, App, BatchContext, BatchTx, Job, Received, Refuse, Reply, WebhookRequest

app = App("giver")

WRONG = 0
"""An amount that no gift has: the ledger raises."""

MOST = 1_000
"""What is more is refused."""


class Give(Job, kind="giver.give"):
    telegram_id: int
    minor: int


@app.webhook("/gifts")
def gift(request: WebhookRequest) -> Received:
    event = request.json()
    return Received(Give(telegram_id=event["user"], minor=event["minor"]), key=event["id"])


@app.job(Give, batch=200, attempts=1)
def give(ctx: BatchContext[Give], jobs: list[Give]) -> list[Reply | Refuse]:
    def work(tx: BatchTx, new: list[Give]) -> list[int | None]:
        for job in new:
            tx.ledger.register(job.telegram_id)
        moved = tx.ledger.credit_many(
            None if job.minor > MOST else Adjustment(job.telegram_id, job.minor, "Gift") for job in new
        )
        return [None if each is None else each.balance_after for each in moved]

    effects = ctx.transact(work)
    return [
        Refuse("That is too much.")
        if effect.value is None
        else Reply(f"A gift. You have {effect.value}.", to=job.telegram_id)
        for job, effect in zip(jobs, effects, strict=True)
    ]
