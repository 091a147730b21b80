"""One outage after the other: what people heard meanwhile, what the database was asked, and how soon all was done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ballast.queueing.envelope import job_id_of_update, reference_of
from devstack.stack import TOKEN, Stack
from devstack.telegram.control import TelegramControl
from tests.chaos.report import percentile
from tests.harness.servers import running_servers
from tests.outages.environment import ADMIN_IDS, Site
from tests.outages.kinds import KINDS
from tests.outages.load import PURSE_ID, register, write

PAGE = 1000
BOT_ID = int(TOKEN.partition(":")[0])
WARM_SECONDS = 3.0
KNOWN_SECONDS = 2.0
"""So long after the breaker opened every process has heard of it: one that calls at once, an idle one by its worker,
which looks each second. What was sent until then is counted apart, and shown.
"""
SETTLED_SECONDS_MAX = 300.0
PROBES = ("/* leased probe */", "/* moved? */", "pg_catalog.version", "current_schema", "show ")
"""What a leased probe says, with what SQLAlchemy asks a process's first connection, and what a new connection to a
server that is read-only is asked: whether the database was moved.
"""
BRACKETS = {"BEGIN", "ROLLBACK"}
"""Nothing by themselves: SQLAlchemy puts them around what it asks a first connection. What is between them is seen."""
READS = ("users_account", "users_touch", "history_page", "SELECT 1")
"""A database that is full or read-only is still read, by connections that are tried where they are doubted."""
LOGINS_PER_PROBE = 4
"""Two leases at once, and libpq may come twice."""


@dataclass
class Found:
    """One outage. Times are seconds.

    answers -- from each command written during the outage to what its writer then read first.
    strays -- statements that were sent while the breaker was open, and that no lease allows.
    late -- the same before everybody had heard that it is open: when each was sent, from the opening on.
    closed -- from the database's return to when the breaker closed for good.
    first_applied -- from the database's return to the first write that it has.
    """

    kind: str
    commands: int = 0
    answers: list[float] = field(default_factory=list)
    answers_before: list[float] = field(default_factory=list)
    unanswered: int = 0
    opened_after: float | None = None
    strays: list[str] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    logins: int = 0
    half_opens: int = 0
    closed: float = 0.0
    first_applied: float = 0.0
    drained: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "commands": self.commands,
            "answer_seconds": {
                "p50": round(percentile(self.answers, 0.5), 3),
                "p99": round(percentile(self.answers, 0.99), 3),
                "max": round(max(self.answers), 3),
            },
            "answer_seconds_before_p50": round(percentile(self.answers_before, 0.5), 3),
            "unanswered": self.unanswered,
            "opened_after_seconds": self.opened_after and round(self.opened_after, 2),
            "strays": len(self.strays),
            "late": len(self.late),
            "last_late_seconds": round(max(self.late, default=0.0), 2),
            "logins": self.logins,
            "half_opens": self.half_opens,
            "closed_seconds": round(self.closed, 3),
            "first_applied_seconds": round(self.first_applied, 3),
            "drained_seconds": round(self.drained, 1),
            "wrong": self.wrong,
        }


def measure(
    folder: Path, kinds: Sequence[str], *, seconds: float, per_second: float, seed: int, children: int = 2
) -> list[Found]:
    """An outage of each of these kinds, one after the other, on one site.

    children -- of the second worker.
    """
    with running_servers(folder, admin_ids=ADMIN_IDS) as servers:
        site = Site(servers)
        with site.open(children) as stack:
            return asyncio.run(_measure(site, stack, kinds, seconds, per_second, seed))


async def _measure(
    site: Site, stack: Stack, kinds: Sequence[str], seconds: float, per_second: float, seed: int
) -> list[Found]:
    found = []
    async with TelegramControl(site.servers.telegram.url) as telegram:
        await register(telegram)
        await _settled(stack, telegram)
        ear = Ear(telegram)
        await ear.catch_up()
        for number, kind in enumerate(kinds):
            found.append(
                await _one(site, stack, telegram, ear, kind, seconds, per_second, f"{seed}-{number}")
            )
            audited = await asyncio.to_thread(stack.audit)
            if audited.returncode != 0:
                found[-1].wrong.append(f"python -m dbcore audit: {audited.stdout}{audited.stderr}")
    return found


async def _one(
    site: Site,
    stack: Stack,
    telegram: TelegramControl,
    ear: Ear,
    kind: str,
    seconds: float,
    per_second: float,
    seed: str,
) -> Found:
    loop = asyncio.get_running_loop()
    found, stop = Found(kind), asyncio.Event()
    site.sent.clear()
    half_opens = _half_opens(stack)
    writing = asyncio.create_task(write(telegram, seed=seed, per_second=per_second, stop=stop))
    await asyncio.sleep(WARM_SECONDS)
    outage = KINDS[kind](site, stack)
    began = time.time()
    back = await asyncio.to_thread(outage.__enter__)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(outage.__exit__, None, None, None)
    returned = loop.time()
    stop.set()
    found.commands = await writing
    await _settled(stack, telegram)
    found.drained = loop.time() - returned
    asked, said = await ear.catch_up()
    _hear(found, asked, said, began, back.at)
    if kind == "quota":
        for admin in ADMIN_IDS:
            alarms = sum(message.text.startswith("Alarm: ") for message in said.get(admin, []))
            if alarms != 1:
                found.wrong.append(f"{alarms} alarms for admin {admin}, expected one, of the quota")
    await asyncio.to_thread(_read, stack, site, found, asked, began, back.at)
    found.half_opens = _half_opens(stack) - half_opens
    if found.logins > LOGINS_PER_PROBE * (found.half_opens + 1):
        found.wrong.append(f"{found.logins} logins for {found.half_opens} half-opens")
    return found


def _half_opens(stack: Stack) -> int:
    counts = stack.get("/db-stability")[1]["breaker"]["transitions"]
    return int(counts.get("open>half_open", 0))


async def _settled(stack: Stack, telegram: TelegramControl) -> None:
    """Every update is acknowledged, no job is on record, the breaker's steps are written down. Raises TimeoutError."""
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        await telegram.wait_until_acknowledged(timeout_seconds=SETTLED_SECONDS_MAX)
        while stack.redis.zcard("ballast:inbox:all") or stack.redis.llen("ballast:breaker:events"):
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Asked:
    """A command. mark -- what ends its text, of a write; reference -- what its writer is told to quote."""

    at: float
    mark: str | None
    reference: str


@dataclass(frozen=True)
class Said:
    at: float
    text: str


class Ear:
    """What was written and what was sent, since last time, as the local Telegram has it."""

    def __init__(self, telegram: TelegramControl) -> None:
        self._telegram = telegram
        self._update = 0
        self._request = 0

    async def catch_up(self) -> tuple[dict[int, list[Asked]], dict[int, list[Said]]]:
        """Commands and new messages of the bot, by chat, oldest first."""
        asked: dict[int, list[Asked]] = {}
        said: dict[int, list[Said]] = {}
        while page := await self._telegram.updates(after=self._update, limit=PAGE):
            for update in page:
                if update.kind != "message":
                    continue  # a press of the start: no command of the outage is confirmed
                message = update.update["message"]
                job_id = job_id_of_update(BOT_ID, update.update_id, message["date"])
                words = message["text"].split()
                mark = words[-1] if words[0] != "/balance" else None
                asked.setdefault(message["from"]["id"], []).append(
                    Asked(update.created_at, mark, reference_of(job_id))
                )
            self._update = page[-1].seq
        while sends := await self._telegram.requests(
            method="sendMessage", took_effect=True, after=self._request, limit=PAGE
        ):
            for send in sends:
                said.setdefault(int(send.params["chat_id"]), []).append(
                    Said(send.finished_at, str(send.params["text"]))
                )
            self._request = sends[-1].id
        return asked, said


def _hear(
    found: Found,
    asked: dict[int, list[Asked]],
    said: dict[int, list[Said]],
    began: float,
    back: float,
) -> None:
    """A command's answer is the first message that names it; of balances, which name nothing, the next one's."""
    for chat, commands in asked.items():
        messages = said.get(chat, [])
        balances = iter([message.at for message in messages if _tells_a_balance(message)])
        unnamed = 0
        for command in commands:
            at = next((message.at for message in messages if command.reference in message.text), None)
            if at is None and command.mark is not None:
                at = next((message.at for message in messages if command.mark in message.text), None)
            elif at is None:
                unnamed += 1
                at = next((moment for moment in balances if moment >= command.at), None)
                if at is None:
                    continue
            if at is None:
                found.unanswered += 1
            elif command.at < began:
                found.answers_before.append(at - command.at)
            elif command.at < back:
                found.answers.append(at - command.at)
        unheard = max(0, unnamed - sum(_tells_a_balance(message) for message in messages))
        found.unanswered += unheard


def _tells_a_balance(message: Said) -> bool:
    return "alance is" in message.text or "your balance was" in message.text


def _read(
    stack: Stack, site: Site, found: Found, asked: dict[int, list[Asked]], began: float, back: float
) -> None:
    """What the database has to say about it."""
    ((first,),) = stack.query(
        "SELECT extract(epoch FROM min(created_at))::float FROM"
        " (SELECT created_at FROM transfers UNION ALL SELECT created_at FROM pending_transfers) AS written"
        " WHERE created_at > to_timestamp(%s)",
        back,
    )
    found.first_applied = first - back
    events = stack.query(
        "SELECT extract(epoch FROM created_at)::float, before, after FROM breaker_events"
        " WHERE created_at > to_timestamp(%s) ORDER BY created_at, id",
        began,
    )
    openings = [at for at, before, after in events if before == "closed" and after == "open"]
    closings = [at for at, _, after in events if after == "closed"]
    if openings:
        found.opened_after = openings[0] - began
        found.closed = closings[-1] - back
        _count_strays(found, site.sent, openings, closings)
    else:
        found.wrong.append("the breaker never opened")
    if len([at for at in openings if at > back]):
        found.wrong.append("the burst after the return opened it again")
    if found.unanswered:
        found.wrong.append(f"{found.unanswered} commands were never answered")
    drafts = stack.query(
        "SELECT s.telegram_id, p.memo FROM pending_transfers p JOIN users s ON s.id = p.sender_user_id"
        " WHERE p.created_at > to_timestamp(%s) ORDER BY p.id",
        began - 2 * WARM_SECONDS,
    )
    _compare(found, "asked to confirm", _marks(asked, admins=False), drafts)
    credits = stack.query(
        "SELECT p.admin_id, p.memo FROM pending_adjustments p JOIN users u ON u.id = p.target_user_id"
        " WHERE p.status = 'pending' AND u.telegram_id = %s AND p.created_at > to_timestamp(%s) ORDER BY p.id",
        PURSE_ID,
        began - 2 * WARM_SECONDS,
    )
    _compare(found, "asked to confirm a credit", _marks(asked, admins=True), credits)
    ((dead,),) = stack.query("SELECT count(*) FROM failed_operations")
    if dead:
        found.wrong.append(f"{dead} dead letters")


def _count_strays(
    found: Found, sent: list[tuple[float, str]], openings: list[float], closings: list[float]
) -> None:
    """In each time that it was open, whatever became of the database in that."""
    allowed = PROBES + (READS if found.kind == "read-only" else ())
    for opened in openings:
        closed = next(at for at in closings if at > opened)
        meanwhile = [(at - opened, sql) for at, sql in sent if opened <= at < closed]
        found.logins += sum(sql == "login" for _, sql in meanwhile)
        strays = [
            (after, sql)
            for after, sql in meanwhile
            if sql not in {"login", *BRACKETS} and not any(words in sql for words in allowed)
        ]
        found.late += [after for after, _ in strays if after < KNOWN_SECONDS]
        found.strays += [sql for after, sql in strays if after >= KNOWN_SECONDS]
    found.wrong += [f"sent while open: {sql[:80]}" for sql in found.strays[:5]]


def _marks(asked: dict[int, list[Asked]], *, admins: bool) -> dict[int, list[str]]:
    """The writes of each person, in the order Telegram has them."""
    marks = {
        person: [command.mark for command in commands if command.mark is not None]
        for person, commands in asked.items()
        if (person in ADMIN_IDS) is admins
    }
    return {person: found for person, found in marks.items() if found}


def _compare(found: Found, what: str, written: dict[int, list[str]], done: list[tuple[Any, ...]]) -> None:
    """Exactly once, and in the order each person wrote."""
    by_person: dict[int, list[str]] = {}
    marks = {mark for marks in written.values() for mark in marks}
    for person, mark in done:
        if mark in marks:
            by_person.setdefault(int(person), []).append(mark)
    if by_person != written:
        wrong = [person for person in written if by_person.get(person) != written[person]]
        found.wrong.append(f"{what} otherwise than written: {wrong[:5]}")
