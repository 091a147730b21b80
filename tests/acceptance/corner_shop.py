"""An app for tests: what handlers can do and how their jobs end."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy import text

from ballast import LAST_KNOWN, App, Ask, Button, Discard, Job, JobContext, Refuse, Reply, Snooze, Tx


class CornerSettings(BaseModel):
    greeting: str


app = App("corner", settings=CornerSettings)


class Name(BaseModel):
    name: str


class Coin(BaseModel):
    side: int


class Give(Job, kind="corner.give"):
    telegram_id: int
    minor: int


class Fetch(Job, kind="corner.fetch"):
    how: str


def count(tx: Tx, what: str) -> int:
    row = tx.session.execute(
        text(
            "INSERT INTO corner_counts AS c VALUES (:what, 1) ON CONFLICT (what) DO UPDATE SET n = c.n + 1 RETURNING n"
        ),
        {"what": what},
    )
    return int(row.scalar_one())


@app.command("hello", help="Say hello: /hello NAME", arguments=Name, database="none")
async def hello(ctx: JobContext, args: Name) -> list[Reply]:
    await asyncio.sleep(0)
    greeting = ctx.app_settings(CornerSettings).greeting
    return [Reply(f"{greeting} <{args.name}> & {ctx.user.first_name}"), Reply("<b>Bye</b>", html=True)]


@app.command("help", help="Explain the shop", database="none", replace=True)
def helped(ctx: JobContext) -> Reply:
    return Reply("Ask at the counter.")


@app.command(
    "shelf",
    help="What is on a shelf: /shelf NAME",
    arguments=Name,
    database="read",
    unavailable=LAST_KNOWN,
)
def shelf(ctx: JobContext, args: Name) -> list[Reply]:
    with ctx.session() as session:
        now = session.scalar(text("SELECT clock_timestamp()"))
    return [Reply(f"{args.name} <full>"), Reply(f"<i>{now}</i>", html=True)]


@app.command("close", help="Close the shop", admin=True, database="none")
def close(ctx: JobContext) -> Reply:
    return Reply("Closed.")


@app.command("give", help="Take a gift of so much: /give SIDE", arguments=Coin)
def gift(ctx: JobContext, args: Coin) -> Job:
    ctx.transact(lambda tx: count(tx, "gifts"))
    ctx.transact(lambda tx: count(tx, "gifts, again"), part="again")
    return Give(telegram_id=ctx.user.telegram_id, minor=args.side)


@app.job(Give, aliases=["corner.gift"])
def give(ctx: JobContext, job: Give) -> Reply:
    def work(tx: Tx) -> int | None:
        count(tx, "given")
        return tx.ledger.credit(job.telegram_id, job.minor, memo="gift").balance_after

    said = f"A gift: {ctx.money(job.minor)}, you have {ctx.money(ctx.transact(work).value or 0)}."
    return Reply(said, to=job.telegram_id)


@app.command("promise", help="Be promised a gift")
def promise(ctx: JobContext) -> Reply:
    def work(tx: Tx) -> None:
        count(tx, "promised")
        tx.enqueue(Give(telegram_id=ctx.user.telegram_id, minor=7))

    ctx.transact(work)
    return Reply("Promised.")


@app.command("fetch", help="Fetch: /fetch HOW", arguments=Name)
def fetch_command(ctx: JobContext, args: Name) -> Job:
    return Fetch(how=args.name)


@app.job(Fetch, attempts=3, database="none")
def fetch(ctx: JobContext, job: Fetch) -> Reply:
    match job.how:
        case "flaky" if ctx.attempt < 3:
            raise TimeoutError("the provider did not answer")
        case "broken":
            raise TimeoutError("the provider did not answer")
        case "late" if ctx.attempt == 1 and not _seen(ctx):
            raise Snooze(0.2)
        case "never":
            raise Discard("there is no such thing")
        case "wrong":
            ctx.transact(lambda tx: 1)
    return Reply(f"Fetched {job.how} at attempt {ctx.attempt}.")


_snoozed: set[str] = set()


def _seen(ctx: JobContext) -> bool:
    seen = ctx.job_id in _snoozed
    _snoozed.add(ctx.job_id)
    return seen


class Shelving(BaseModel):
    shelf: str
    fails: int


class Pack(Job, kind="corner.pack"):
    telegram_id: int
    shelf: str
    fails: int


@app.command("pack", help="Pack from a shelf: /pack SHELF FAILS", arguments=Shelving, database="none")
def pack_command(ctx: JobContext, args: Shelving) -> Job:
    return Pack(telegram_id=ctx.user.telegram_id, shelf=args.shelf, fails=args.fails)


@app.job(Pack, attempts=3, backoff=(0.1, 0.2), lane="shelf")
def pack(ctx: JobContext, job: Pack) -> Reply:
    if ctx.attempt <= job.fails:
        raise TimeoutError("the shelf is too high")
    return Reply(f"Packed as number {ctx.transact(lambda tx: count(tx, 'packed')).value}.")


class Hurry(Job, kind="corner.hurry"):
    how: str


@app.command("hurry", help="Hurry: /hurry HOW", arguments=Name, database="none")
def hurry_command(ctx: JobContext, args: Name) -> Job:
    return Hurry(how=args.name)


@app.job(Hurry, attempts=5, backoff=60, deadline=1, database="none")
def hurry(ctx: JobContext, job: Hurry) -> None:
    if job.how == "later":
        raise Snooze(3600)
    raise TimeoutError("the provider did not answer")


class Move(Job, kind="corner.move"):
    telegram_id: int
    item: str
    place: Literal["cellar", "attic"] = Field(description="cellar or attic")
    number: int = Field(ge=1, le=9, description="how many, 1 to 9")


@app.command("move", help="Move things: /move ITEM", arguments=Name, database="none")
def move_command(ctx: JobContext, args: Name) -> list[Reply | Ask]:
    where = Ask(f"Where to with <{args.name}>?", Move, {"item": args.name}, choices=["cellar", "attic"])
    return [Reply("Let us see."), where]


@app.job(Move)
def move(ctx: JobContext, job: Move) -> Reply:
    ctx.transact(lambda tx: count(tx, f"moved {job.item}"))
    mine = "yours" if ctx.user.telegram_id == job.telegram_id else "somebody else's"
    return Reply(f"{job.number} {job.item} in the {job.place}, {mine}.", public=True)


class Pick(Job, kind="corner.pick"):
    number: int


@app.command("menu", help="Choose", database="none")
def menu(ctx: JobContext) -> Reply:
    return Reply("Choose", buttons=[[Button("One", Pick(number=1)), Button("Two", Pick(number=2))]])


@app.job(Pick)
def pick(ctx: JobContext, job: Pick) -> Reply:
    ctx.transact(lambda tx: count(tx, f"picked {job.number}"))
    return Reply(
        f"{ctx.user.telegram_id} picked {job.number}.",
        edit=job.number == 2,
        buttons=[[Button("Again", Pick(number=1))]],
    )


@app.command("picked", help="Say how often One was picked", database="read")
def picked(ctx: JobContext) -> Reply:
    with ctx.session() as session:
        count = session.execute(text("SELECT n FROM corner_counts WHERE what = 'picked 1'")).scalar_one()
    return Reply(f"One was picked {count} times.")


@app.command("refuse", help="Be refused")
def refuse(ctx: JobContext) -> None:
    def work(tx: Tx) -> None:
        count(tx, "refused")
        raise Refuse("Not <today>.")

    ctx.transact(work)


@app.command("twice", help="Transact twice without a name")
def twice(ctx: JobContext) -> None:
    ctx.transact(lambda tx: count(tx, "twice"))
    ctx.transact(lambda tx: count(tx, "twice"))


@app.every(1)
def tidy(ctx: JobContext) -> None:
    ctx.transact(lambda tx: count(tx, "tidied " + json.dumps(ctx.job_id)))
