"""An app for tests that does jobs of Ballast's own in its way."""

from __future__ import annotations

from sqlalchemy import text

from ballast import App, BuiltInAnswer, JobContext, Refuse, Reply, Tx
from ballast.builtin.balances import AdjustBalance, AskAdjustment, ShowBalance
from ballast.builtin.broadcasts import ChooseBroadcasts, DraftBroadcast
from ballast.builtin.payments import RecordPayment
from ballast.builtin.status import ShowDatabaseStatus
from ballast.builtin.transfers import CreateTransfer, DecideTransfer

FEE = 10

app = App("toll")
app.switch_off("dbstatus", buttons=["history"], jobs=[ShowDatabaseStatus])
app.rename_button("transfer", "Confirm", "Yes, pay")


@app.job(ShowBalance, database="read", replace=True)
def balance(ctx: JobContext, job: ShowBalance) -> Reply:
    with ctx.session() as session:
        minor = session.scalar(
            text("SELECT balance FROM accounts JOIN users ON users.id = user_id WHERE telegram_id = :who"),
            {"who": ctx.user.telegram_id},
        )
    return Reply(f"{ctx.user.first_name} has {ctx.money(minor or 0)}.")


@app.job(CreateTransfer, attempts=1, replace=True)
def create(ctx: JobContext, job: CreateTransfer) -> BuiltInAnswer:
    return ctx.built_in(job.model_copy(update={"memo": f"{job.memo} (toll {ctx.money(FEE)})"}))


@app.job(DecideTransfer, backoff=0.1, replace=True)
def decide(ctx: JobContext, job: DecideTransfer) -> list[BuiltInAnswer | Reply]:
    """The first attempt ends after it has done all. Ben wants something else at each."""
    if ctx.user.first_name == "Ben":
        answer = ctx.built_in(job.model_copy(update={"confirm": ctx.attempt == 1}))
        if ctx.attempt == 1:
            raise TimeoutError("Ben hesitates")
        return [answer]
    answer = ctx.built_in()
    assert answer.outcome is not None
    if not job.confirm or answer.outcome.reason is not None:
        return [answer]

    def work(tx: Tx) -> int | None:
        return tx.ledger.debit(ctx.user.telegram_id, FEE, memo="Toll").balance_after

    left = ctx.transact(work).value
    if ctx.attempt == 1:
        raise TimeoutError("the receipt's printer did not answer")
    return [answer, Reply(f"Toll {ctx.money(FEE)}. You have {ctx.money(left or 0)}.")]


@app.job(AskAdjustment, replace=True)
def ask(ctx: JobContext, job: AskAdjustment) -> list[BuiltInAnswer | Reply]:
    answer = ctx.built_in()
    if job.reason == "forbidden":
        raise Refuse("Not for that.")
    return [Reply(f"Asked by {ctx.user.telegram_id}."), answer]


@app.job(AdjustBalance, backoff=0.1, replace=True)
def adjust(ctx: JobContext, job: AdjustBalance) -> list[BuiltInAnswer | Reply]:
    answer = ctx.built_in(job.model_copy(update={"amount": job.amount * 2}))
    if ctx.attempt == 1:
        raise TimeoutError("nobody listens to what was doubled")
    return [answer, Reply("Doubled.", to=job.telegram_id)]


@app.job(RecordPayment, backoff=0.1, replace=True)
def paid(ctx: JobContext, job: RecordPayment) -> list[BuiltInAnswer | Reply]:
    answer = ctx.built_in()

    def work(tx: Tx) -> int | None:
        return tx.ledger.credit(job.telegram_id, job.amount, memo="Stars").balance_after

    ctx.transact(work)
    if ctx.attempt == 1:
        raise TimeoutError("the receipt's printer did not answer")
    return [answer, Reply(f"{job.amount} Stars are {ctx.money(job.amount)}.")]


@app.job(ChooseBroadcasts, database="read", attempts=1, replace=True)
def choose(ctx: JobContext, job: ChooseBroadcasts) -> BuiltInAnswer:
    return ctx.built_in()


@app.job(DraftBroadcast, replace=True)
def draft(ctx: JobContext, job: DraftBroadcast) -> list[BuiltInAnswer | Reply]:
    return [Reply("A draft:"), ctx.built_in(), Reply("Read it twice.")]


@app.every(1, replace="broadcasts-watch")
def watch(ctx: JobContext) -> None:
    ctx.built_in()
    ctx.transact(
        lambda tx: (
            tx.session.execute(text("INSERT INTO corner_counts VALUES ('watched', 1) ON CONFLICT DO NOTHING"))
            and None
        )
    )
