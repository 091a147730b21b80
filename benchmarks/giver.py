"""The app of `make bench BENCH=batch`: a credit, by a handler of one job and by a handler of up to 200."""

from __future__ import annotations

from ballast import Adjustment, App, BatchContext, BatchTx, Job, JobContext, Received, Tx, WebhookRequest

app = App("giver")


class Single(Job, kind="giver.single"):
    telegram_id: int


class One(Job, kind="giver.one"):
    telegram_id: int


class Many(Job, kind="giver.many"):
    telegram_id: int


KINDS: dict[str, type[Single | One | Many]] = {"single": Single, "batch=1": One, "batch=200": Many}


@app.webhook("/gifts")
def gift(request: WebhookRequest) -> Received:
    event = request.json()
    return Received(KINDS[event["how"]](telegram_id=event["user"]), key=event["id"])


@app.job(Single)
def single(ctx: JobContext, job: Single) -> None:
    def work(tx: Tx) -> int | None:
        tx.ledger.register(job.telegram_id)
        return tx.ledger.credit(job.telegram_id, 1, "Gift").balance_after

    ctx.transact(work)


def _give(ctx: BatchContext[One] | BatchContext[Many], jobs: list[One] | list[Many]) -> list[None]:
    def work(tx: BatchTx, new: list[One] | list[Many]) -> list[int | None]:
        for job in new:
            tx.ledger.register(job.telegram_id)
        moved = tx.ledger.credit_many(Adjustment(job.telegram_id, 1, "Gift") for job in new)
        return [each.balance_after for each in moved]

    ctx.transact(work)
    return [None] * len(jobs)


@app.job(One, batch=1)
def one(ctx: BatchContext[One], jobs: list[One]) -> list[None]:
    return _give(ctx, jobs)


@app.job(Many, batch=200)
def many(ctx: BatchContext[Many], jobs: list[Many]) -> list[None]:
    return _give(ctx, jobs)
