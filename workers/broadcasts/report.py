"""A broadcast's report: a CSV with one line a recipient, sent as a document. Written to a file page by page, so memory
does not grow with the audience. What is more than Telegram takes in one document comes in several, by a job each.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING

import structlog
from telegram import InputFile
from telegram.error import TelegramError

from ballast.apps.command_names import joined
from ballast.broadcasts.audience import recipients_table
from ballast.builtin.broadcasts import ReportBroadcast
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.telegram.errors import SendResult, SendStatus, classify
from ballast.texts import gettext, ngettext
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus
from dbcore.guard.engine import GuardedEngine
from dbcore.text import one_line
from workers.broadcasts.broadcaster import CHUNK_SECONDS, Broadcaster, acquire_send_slot, defer
from workers.texts import escape

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

BYTES_MAX = 45_000_000
"""A bot's document may have 50 MB."""

PAGE_ROWS = 5_000
"""Half a megabyte of JSON, some ten milliseconds of the database."""

UPLOAD_SECONDS_MAX = 120.0
SETTLING_SECONDS = 4 * CHUNK_SECONDS
"""After a cancel: what was under way is recorded by then."""


@dataclass(frozen=True)
class Written:
    """How many recipients are in it; and where it ended for its size, behind whom the next part begins."""

    lines: int
    last_user_id: int | None = None


@dataclass(frozen=True)
class Report:
    home: Broadcaster
    broadcast: Broadcast
    job: ReportBroadcast
    job_id: str

    async def run(self, maybe_bot: Bot | None) -> list[Message]:
        with await asyncio.to_thread(self.home.languages.speaking_to, self.job.chat_id):
            return await self._run(maybe_bot)

    async def _run(self, maybe_bot: Bot | None) -> list[Message]:
        chat_id = self.job.chat_id
        bot = await acquire_send_slot(self.home, maybe_bot, chat_id)
        with tempfile.TemporaryFile() as file:
            written = await asyncio.to_thread(
                write, self.home.engine, self.broadcast.id, file, after_user_id=self.job.after_user_id
            )
            if not written.lines and self.job.part > 1:
                return []  # the part before was the last, and full
            file.seek(0)
            document = InputFile(file, _file_name(self.job), read_file_handle=False)
            try:
                await bot.send_document(
                    chat_id,
                    document,
                    caption=_caption(self.broadcast, self.job, written),
                    write_timeout=UPLOAD_SECONDS_MAX,
                    read_timeout=UPLOAD_SECONDS_MAX,
                )
            except TelegramError as error:
                verdict = classify(error)
                log.warning("report_not_sent", broadcast_id=self.broadcast.id, why=verdict.description)
                if verdict.meaning is SendStatus.WAIT:
                    seconds = verdict.retry_after_seconds
                    raise await defer(self.home, seconds, chat_id, flood=verdict.flood) from error
                return [Message(chat_id=chat_id, text=_not_sent(self.broadcast.id, verdict))]
        if written.last_user_id is not None:
            following = self.job.model_copy(
                update={
                    "part": self.job.part + 1,
                    "after_user_id": written.last_user_id,
                    "reported": self.job.reported + written.lines,
                }
            )
            await asyncio.to_thread(self.home.lanes.report_on, following, self.job_id)
        return []


def report(home: Broadcaster, job: ReportBroadcast, job_id: str) -> Report:
    """Raises BroadcastRefused; Snoozed where what was under way at a cancel is not recorded yet."""
    broadcast = broadcasts.require(home.engine, job.broadcast_id)
    if broadcast.status is BroadcastStatus.CANCELLED and broadcast.finished_at is not None:
        settling = SETTLING_SECONDS - (home.lanes.schedule.now() - broadcast.finished_at).total_seconds()
        if settling > 0:
            raise Snoozed(settling)
    return Report(home, broadcast, job, job_id)


def write(
    engine: GuardedEngine,
    broadcast_id: int,
    file: IO[bytes],
    *,
    after_user_id: int = 0,
    page_rows: int = PAGE_ROWS,
    bytes_max: int = BYTES_MAX,
) -> Written:
    """Write the CSV of those behind a user, and no more pages after so many bytes."""
    lines, after = 0, after_user_id
    table = recipients_table()
    with _as_text(file) as text:
        text.write(table.head())
        while rows := deliveries.page(engine, broadcast_id, after_user_id=after, limit=page_rows):
            text.write(table.rows(rows))
            text.flush()
            lines, after = lines + len(rows), rows[-1].user_id
            if file.tell() > bytes_max:
                return Written(lines, after)
    return Written(lines)


@contextmanager
def _as_text(file: IO[bytes]) -> Iterator[TextIOWrapper]:
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()


def _file_name(job: ReportBroadcast) -> str:
    part = "" if job.part == 1 else f"-part-{job.part}"
    return f"broadcast-{job.broadcast_id}{part}.csv"


def _caption(broadcast: Broadcast, job: ReportBroadcast, written: Written) -> str:
    audience, number = broadcast.audience or 0, str(broadcast.id)
    if job.part == 1 and written.last_user_id is None:
        return ngettext(
            "Broadcast {id}: its one recipient.",
            "Broadcast {id}: all {count} recipients.",
            audience,
            id=number,
        )
    first, last = job.reported + 1, job.reported + written.lines
    text = gettext(
        "Broadcast {id}, part {part}: recipients {first} to {last} of {all}.",
        id=number,
        part=job.part,
        first=first,
        last=last,
        all=audience,
    )
    return joined(text, gettext("More follows.") if last < audience else "")


def _not_sent(broadcast_id: int, verdict: SendResult) -> str:
    if verdict.meaning is SendStatus.UNKNOWN:
        return gettext(
            "The report of broadcast {id} may not have arrived: Telegram did not say. The button {button} sends it "
            "again.",
            id=str(broadcast_id),
            button=gettext("Report"),
        )
    return gettext(
        "Telegram does not take the report of broadcast {id}: {why}",
        id=str(broadcast_id),
        why=escape(one_line(verdict.description)),
    )
