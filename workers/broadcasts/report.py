"""A broadcast's report: a CSV with one line a recipient, sent as a document. Written to a file page by page, so memory
does not grow with the audience; above what Telegram takes, it ends and says so.
"""

from __future__ import annotations

import asyncio
import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING

import structlog
from telegram import InputFile
from telegram.error import TelegramError

from dbcore import broadcast_deliveries, broadcasts
from dbcore.broadcasts import Broadcast, BroadcastStatus
from dbcore.engine import GuardedEngine
from workers.broadcasts.admin_turn import await_turn, put_off
from workers.broadcasts.broadcaster import CHUNK_SECONDS, Broadcaster
from workers.messages import Message
from workers.not_now import NotNow
from workers.telegram.verdicts import Meaning, judge

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

COLUMNS = ("telegram_id", "status", "error", "sent_at")


@dataclass(frozen=True)
class Report:
    home: Broadcaster
    broadcast: Broadcast
    chat_id: int

    async def run(self, maybe_bot: Bot | None) -> list[Message]:
        bot = await await_turn(self.home, maybe_bot, self.chat_id)
        with tempfile.TemporaryFile() as file:
            lines = await asyncio.to_thread(write, self.home.engine, self.broadcast.id, file)
            file.seek(0)
            document = InputFile(file, f"broadcast-{self.broadcast.id}.csv", read_file_handle=False)
            try:
                await bot.send_document(
                    self.chat_id,
                    document,
                    caption=_caption(self.broadcast, lines),
                    write_timeout=UPLOAD_SECONDS_MAX,
                    read_timeout=UPLOAD_SECONDS_MAX,
                )
            except TelegramError as error:
                verdict = judge(error)
                log.warning("report_not_sent", broadcast_id=self.broadcast.id, why=verdict.description)
                if verdict.meaning is Meaning.WAIT:
                    seconds = verdict.retry_after_seconds
                    raise await put_off(self.home, seconds, self.chat_id, flood=verdict.flood) from error
        return []


def report(home: Broadcaster, broadcast_id: int, chat_id: int) -> Report:
    """Raises BroadcastRefused; NotNow where what was under way at a cancel is not recorded yet."""
    broadcast = broadcasts.require(home.engine, broadcast_id)
    if broadcast.status is BroadcastStatus.CANCELLED and broadcast.finished_at is not None:
        settling = SETTLING_SECONDS - (home.lanes.agenda.now() - broadcast.finished_at).total_seconds()
        if settling > 0:
            raise NotNow(settling)
    return Report(home, broadcast, chat_id)


def write(
    engine: GuardedEngine,
    broadcast_id: int,
    file: IO[bytes],
    *,
    page_rows: int = PAGE_ROWS,
    bytes_max: int = BYTES_MAX,
) -> int:
    """Write the CSV, and no more pages after so many bytes; returns how many recipients are in it."""
    lines, after = 0, 0
    with _as_text(file) as text:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        while rows := broadcast_deliveries.page(engine, broadcast_id, after_user_id=after, limit=page_rows):
            writer.writerows(
                (row.telegram_id, row.status, row.error or "", row.sent_at or "") for row in rows
            )
            text.flush()
            lines, after = lines + len(rows), rows[-1].user_id
            if file.tell() > bytes_max:
                break
    return lines


@contextmanager
def _as_text(file: IO[bytes]) -> Iterator[TextIOWrapper]:
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()


def _caption(broadcast: Broadcast, lines: int) -> str:
    audience = broadcast.audience or 0
    if lines < audience:
        return f"Broadcast {broadcast.id}: the first {lines:,} of {audience:,} recipients; more do not fit."
    return f"Broadcast {broadcast.id}: all {audience:,} recipients."
