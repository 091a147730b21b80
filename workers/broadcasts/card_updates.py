"""Shows a card: reads how the broadcast stands, and edits the one message that says so.

All edits of a card go by one lane, one after the other, and each reads anew when its turn comes: so it never goes
backwards, and an edit that had to wait says what is true by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import redis
import structlog

from ballast.broadcasts import card
from ballast.broadcasts.audience import audience_size
from ballast.broadcasts.schedule import quiet_until
from ballast.builtin.broadcasts import ShowCard
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.telegram.errors import SendStatus
from ballast.telegram.reply_sender import delete_message, send
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import Broadcast, BroadcastStatus, Progress
from dbcore.settings import Settings
from workers.broadcasts.broadcaster import Broadcaster, acquire_send_slot, defer

if TYPE_CHECKING:
    from telegram import Bot

log = structlog.get_logger(__name__)

REPORTED_WITHIN = timedelta(hours=12)
"""After its end the report is sent by itself. The inbox remembers for a day that it was, so it is sent once."""

_ENDED_BY_ITSELF = {BroadcastStatus.FINISHED, BroadcastStatus.HALTED}


@dataclass(frozen=True)
class Showing:
    """One edit. `placed` is where the card is now, None where it was nowhere."""

    home: Broadcaster
    broadcast_id: int
    message: Message
    placed: int | None

    async def run(self, maybe_bot: Bot | None) -> list[Message]:
        bot = await acquire_send_slot(self.home, maybe_bot, self.message.chat_id)
        verdict = await send(bot, self.message)
        with contextlib.suppress(redis.RedisError):
            await asyncio.to_thread(self.home.lanes.cards.edited, self.broadcast_id)
        if verdict.meaning is SendStatus.EDIT_IMPOSSIBLE:
            verdict = await send(bot, self.message.model_copy(update={"edit_message_id": None}))
        if verdict.meaning in {SendStatus.WAIT, SendStatus.UNKNOWN}:
            seconds = verdict.retry_after_seconds
            raise await defer(self.home, seconds, self.message.chat_id, flood=verdict.flood)
        if verdict.meaning is not SendStatus.DELIVERED or verdict.message_id is None:
            log.warning("card_not_shown", broadcast_id=self.broadcast_id, why=verdict.description)
            return []
        if verdict.message_id != self.placed:
            await asyncio.to_thread(
                broadcasts.place_card,
                self.home.engine,
                self.broadcast_id,
                chat_id=self.message.chat_id,
                message_id=verdict.message_id,
            )
            if self.placed is not None:
                await delete_message(bot, self.home.rate_limiter, self.message.chat_id, self.placed)
        return []


def show(home: Broadcaster, job: ShowCard, settings: Settings) -> Showing | None:
    """None where there is no card to show. Raises Snoozed where the last edit was just now, BroadcastRefused."""
    broadcast = broadcasts.require_progress(home.engine, job.broadcast_id)
    chat_id = job.anew_in if job.anew_in is not None else broadcast.admin_chat_id
    edited = None if job.anew_in is not None else broadcast.card_message_id
    if chat_id is None or (edited is None and job.anew_in is None):
        return None
    cards = home.lanes.cards
    hurried = job.anew_in is not None or (job.at_once and broadcast.status not in _ENDED_BY_ITSELF)
    if wait_seconds := cards.seconds_to_wait(broadcast.id, at_once=hurried):
        raise Snoozed(wait_seconds)
    cards.begin_turn(broadcast.id)
    # As it is now: later requests join no more. Of a draft it is shown whom it is for.
    read = broadcasts.require if broadcast.status is BroadcastStatus.DRAFT else broadcasts.require_progress
    broadcast = read(home.engine, job.broadcast_id)
    with home.languages.speaking_to(chat_id):
        message = Message(
            chat_id=chat_id,
            text=_text(home, broadcast, settings),
            buttons=card.buttons(broadcast, cards.view(broadcast.id)),
            edit_message_id=edited,
        )
    _report_once(home, broadcast)
    same_chat = broadcast.admin_chat_id == chat_id
    return Showing(home, broadcast.id, message, broadcast.card_message_id if same_chat else None)


def _text(home: Broadcaster, broadcast: Progress, settings: Settings) -> str:
    if isinstance(broadcast, Broadcast) and broadcast.status is BroadcastStatus.DRAFT:
        audience = audience_size(home.engine, broadcast.segment)
        return card.draft_text(broadcast, audience, home.rate(broadcast), settings)
    rate = home.lanes.cards.measured_rate(broadcast.id, broadcast.done)
    rests = quiet_until(broadcast.quiet_hours, home.lanes.schedule.now())
    return card.progress_text(broadcast, rate, rests, settings)


def _report_once(home: Broadcaster, broadcast: Progress) -> None:
    """The report follows the last card by itself."""
    if not (broadcast.status.is_over and broadcast.audience and broadcast.finished_at):
        return
    if broadcast.admin_chat_id is None:
        return
    if home.lanes.schedule.now() - broadcast.finished_at.astimezone(UTC) < REPORTED_WITHIN:
        home.lanes.report(broadcast.id, broadcast.admin_chat_id, f"run-{broadcast.run}")
