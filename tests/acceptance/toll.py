"""An app for tests that does jobs of Ballast's own in its way."""

from __future__ import annotations

from sqlalchemy import text

from ballast import App, BuiltInAnswer, JobContext, Reply, Tx
from ballast.builtin.balances import AskAdjustment, ShowBalance
from ballast.builtin.broadcasts import DraftBroadcast
from ballast.builtin.transfers import CreateTransfer, DecideTransfer

FEE = 10

app = App("toll")
app.switch_off(buttons=["history"])
app.rename_button("transfer", "Confirm", "Yes, pay")


@app.job(ShowBalance, database="read", replace=True)
def balance(ctx: JobContext, job: ShowBalance) -> Reply:
    with ctx.session() as session:
        minor = session.scalar(
            text("SELECT balance FROM accounts JOIN users ON users.id = user_id WHERE telegram_id = :who"),
            {"who": ctx.user.telegram_id},
        )
    return Reply(f"{ctx.user.first_name} has {ctx.money(minor or 0)}.")


@app.job(CreateTransfer, replace=True)
def create(ctx: JobContext, job: CreateTransfer) -> BuiltInAnswer:
    return ctx.built_in(job.model_copy(update={"memo": f"{job.memo} (toll {ctx.money(FEE)})"}))


@app.job(DecideTransfer, backoff=0.1, replace=True)
def decide(ctx: JobContext, job: DecideTransfer) -> list[BuiltInAnswer | Reply]:
    """The first attempt ends after it has done all."""
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
    return [Reply(f"Asked by {ctx.user.telegram_id}."), ctx.built_in()]


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
