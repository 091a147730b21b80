"""What admins do by command and button: draw a broadcast up, change it, begin it, stop it.

Each change stands in the database first; the card, which shows it, follows by its own lane.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ballast.apps.command_names import joined, mention
from ballast.broadcasts import card, halts
from ballast.broadcasts.albums import Albums
from ballast.broadcasts.cards import View
from ballast.broadcasts.cost import refuse_paid_album
from ballast.builtin.broadcasts import CardButton, ChangeDraft, DraftBroadcast, PressBroadcast, StartBroadcast
from ballast.builtin.composition import TELEGRAM_IDS_MAX
from ballast.messages import Message
from ballast.queueing.snooze import Snoozed
from ballast.telegram.errors import AWAY_SECONDS
from ballast.texts import gettext, ngettext
from dbcore import admin_actions
from dbcore.admin_actions import DONE, AdminAction
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.broadcasts.broadcasts import (
    Broadcast,
    BroadcastRefused,
    BroadcastStatus,
    DraftChanged,
)
from dbcore.broadcasts.leases import DeliveryStatus, Recipient
from dbcore.sentences import Sentence, sentence
from workers.broadcasts import deletion
from workers.broadcasts.broadcaster import Broadcaster, acquire_send_slot, defer
from workers.broadcasts.send_one import post
from workers.replies import UNCERTAIN_SENDS_MAX

if TYPE_CHECKING:
    from telegram import Bot

_VIEWS = {
    CardButton.MAIN: View.MAIN,
    CardButton.SEGMENT: View.SEGMENT,
    CardButton.WHEN: View.WHEN,
    CardButton.CANCEL: View.CANCEL,
    CardButton.ERASE: View.ERASE,
}
_CHANGES: dict[CardButton, dict[str, Any]] = {
    CardButton.EVERYBODY: {"segment": {}},
    CardButton.NOW: {"scheduled_for": None},
    CardButton.ANY_HOUR: {"quiet_hours": None},
    CardButton.FREE: {"paid": False, "stars_max": None},
}

_ORDERS = {
    CardButton.GO,
    CardButton.DISCARD,
    CardButton.PAUSE,
    CardButton.RESUME,
    CardButton.CANCEL_SURELY,
}
"""These have the card shown at once themselves, where they change anything."""


def _not_confirmed() -> str:
    return ngettext(
        "Nothing was sent, and the draft is cancelled. Telegram did not confirm the preview after {count} try, so you "
        "may see it more than once. Please try again later.",
        "Nothing was sent, and the draft is cancelled. Telegram did not confirm the preview after {count} tries, so "
        "you may see it more than once. Please try again later.",
        UNCERTAIN_SENDS_MAX,
    )


@dataclass(frozen=True)
class Preview:
    """The admin gets what everybody would get, by the same way; then the card comes below it.

    Telegram refuses a bad payload here already. Where it is a copy, everybody gets a copy of this one: it is the bot's
    own message, which nobody can edit, so what is sent is what was previewed, whatever becomes of the original.

    uncertain -- how many previews went out whose arrival Telegram did not confirm.
    """

    home: Broadcaster
    broadcast: Broadcast
    chat_id: int
    uncertain: int

    async def run(self, maybe_bot: Bot | None) -> list[Message]:
        if "of" not in self.broadcast.payload.get("copy", {}):
            why_not = await self._show(maybe_bot)
            if why_not is not None:
                await asyncio.to_thread(broadcasts.cancel, self.home.engine, self.broadcast.id)
                return [Message(chat_id=self.chat_id, text=why_not)]
        await asyncio.to_thread(self.home.lanes.show_card, self.broadcast.id, anew_in=self.chat_id)
        return []

    async def _show(self, maybe_bot: Bot | None) -> str | None:
        """What to tell the admin where it cannot be sent; None where they have it."""
        bot = await acquire_send_slot(self.home, maybe_bot, self.chat_id, pieces=self.broadcast.pieces)
        to_admin = Recipient(user_id=0, telegram_id=self.chat_id)
        posted = await post(bot, self.broadcast.payload, to_admin, paid=False)
        if posted.bad_payload is not None:
            return refused_by_telegram(posted.bad_payload)
        if posted.wait_seconds:
            raise await defer(self.home, posted.wait_seconds, self.chat_id, flood=posted.flood)
        copy = self.broadcast.payload.get("copy")
        if copy is None:
            return None
        shown = posted.result
        if shown.status is DeliveryStatus.UNKNOWN:
            # Its id is not known, so it cannot be copied: another one is sent.
            if self.uncertain + 1 >= UNCERTAIN_SENDS_MAX:
                return _not_confirmed()
            raise Snoozed(AWAY_SECONDS * 4**self.uncertain, uncertain=True)
        if not shown.message_ids:
            return refused_by_telegram(shown.error or gettext("the preview was not delivered"))
        previewed = {
            **copy,
            "chat_id": self.chat_id,
            "message_ids": list(shown.message_ids),
            "of": copy["message_ids"],
        }
        await asyncio.to_thread(
            broadcasts.change_draft, self.home.engine, self.broadcast.id, payload={"copy": previewed}
        )
        return None


def draft(home: Broadcaster, albums: Albums, job: DraftBroadcast, key: str, *, uncertain: int = 0) -> Preview:
    """Write it down under `key`, for everybody and at once until the admin says otherwise.

    uncertain -- how many previews went out before whose arrival Telegram did not confirm.
    """
    before = broadcasts.find_by_key(home.engine, key)
    if before is not None:  # the job died in the middle of it
        return Preview(home, before, job.telegram_id, uncertain)
    payload: dict[str, Any] = {"text": job.text}
    if job.entities is not None:
        payload["entities"] = [each.model_dump(exclude_none=True) for each in job.entities]
    if job.message_id is not None:
        message_ids: tuple[int, ...] = (job.message_id,)
        if job.album is not None:
            message_ids = albums.with_piece(job.telegram_id, job.album, job.message_id)
        copy: dict[str, Any] = {"chat_id": job.telegram_id, "message_ids": list(message_ids)}
        if job.buttons:
            copy["buttons"] = [[each.model_dump() for each in row] for row in job.buttons]
        if job.buttons_lost:
            copy["buttons_lost"] = True
        payload = {"copy": copy}
    made = broadcasts.create(
        home.engine,
        key=key,
        payload=payload,
        segment={},
        actor=f"telegram:{job.telegram_id}",
        admin_chat_id=job.telegram_id,
        draft=True,
    )
    return Preview(home, made, job.telegram_id, uncertain)


def change(home: Broadcaster, job: ChangeDraft) -> None:
    """Raises BroadcastRefused."""
    changes: dict[str, Any] = {}
    before = broadcasts.require(home.engine, job.broadcast_id)
    if job.segment is not None:
        changes["segment"] = _added(before.segment, job.segment.parts())
    if job.scheduled_for is not None:
        changes["scheduled_for"] = job.scheduled_for
    if job.quiet_hours is not None:
        changes["quiet_hours"] = job.quiet_hours.model_dump()
    if job.stars_max is not None:
        refuse_paid_album(before.pieces)
        changes |= {"paid": True, "stars_max": job.stars_max}
    broadcasts.change_draft(home.engine, job.broadcast_id, **changes)
    home.lanes.cards.turn_to(job.broadcast_id, View.MAIN)
    # Below the admin's words, where they look.
    home.lanes.show_card(job.broadcast_id, anew_in=job.telegram_id)


def _added(before: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """A part takes the place of the one before, but ids join those before: one message holds some 350 of them.

    Raises BroadcastRefused.
    """
    if "telegram_ids" in before and "telegram_ids" in parts:
        ids = list(dict.fromkeys([*before["telegram_ids"], *parts["telegram_ids"]]))
        if len(ids) > TELEGRAM_IDS_MAX:
            raise BroadcastRefused(
                sentence(
                    "a list has {most} ids at most, and this would be {count}",
                    most=TELEGRAM_IDS_MAX,
                    count=len(ids),
                )
            )
        parts = {**parts, "telegram_ids": ids}
    return {**before, **parts}


def press(home: Broadcaster, job: PressBroadcast, job_id: str, message_id: int | None) -> None:
    """message_id -- the message whose button it was: the card from now on. Raises BroadcastRefused."""
    broadcast = broadcasts.require(home.engine, job.broadcast_id)
    if job.what in {CardButton.SHOW, CardButton.ERASE_SHOWN}:
        view = View.MAIN if job.what is CardButton.SHOW else View.ERASE
        home.lanes.cards.turn_to(broadcast.id, view)
        home.lanes.show_card(broadcast.id, anew_in=job.telegram_id)
        return
    if job.what is CardButton.REPORT:
        deliveries.require_kept(home.engine, broadcast, home.lanes.schedule.now())
        home.lanes.report(broadcast.id, job.telegram_id, job_id)
        return
    if message_id is not None and message_id != broadcast.card_message_id:
        broadcasts.place_card(home.engine, broadcast.id, chat_id=job.telegram_id, message_id=message_id)
    home.lanes.cards.turn_to(broadcast.id, _VIEWS.get(job.what, View.MAIN))
    try:
        _obey(home, job, job_id, broadcast)
    except BroadcastRefused:
        home.lanes.show_card(broadcast.id, at_once=True)
        raise
    home.lanes.show_card(broadcast.id, at_once=job.what not in _ORDERS)


def _obey(home: Broadcaster, job: PressBroadcast, job_id: str, broadcast: Broadcast) -> None:
    match job.what:
        case CardButton.GO:
            _go(home, job, job_id, broadcast)
        case CardButton.DISCARD if broadcast.status is not BroadcastStatus.DRAFT:
            raise BroadcastRefused(
                sentence(
                    "broadcast {id} is {status}: it is no draft any more",
                    id=str(broadcast.id),
                    status=Sentence(broadcast.status),
                )
            )
        case CardButton.DISCARD | CardButton.CANCEL_SURELY:
            home.orders.cancel(broadcast.id, _action(job, job_id, "cancel"))
        case CardButton.PAUSE:
            home.orders.pause(broadcast.id, _action(job, job_id, "pause"))
        case CardButton.RESUME:
            home.orders.resume(broadcast.id, _action(job, job_id, "resume"))
        case CardButton.ERASE_SURELY:
            deletion.begin(home, broadcast.id, job.telegram_id, job_id)
            admin_actions.record(home.engine, _action(job, job_id, "delete"), DONE)
        case what if what in _CHANGES:
            broadcasts.change_draft(home.engine, broadcast.id, **_CHANGES[what])


def _action(job: PressBroadcast, job_id: str, word: str) -> AdminAction:
    """For the audit log."""
    actor = f"telegram:{job.telegram_id}"
    return AdminAction(
        f"broadcast.{word} {job_id}", actor, f"broadcast.{word}", str(job.broadcast_id), time.time()
    )


def _go(home: Broadcaster, job: PressBroadcast, job_id: str, broadcast: Broadcast) -> None:
    """Begin what the card showed, once: a second press finds that it is no draft any more.

    One that is scheduled may be so by this very press, which died right after it.
    """
    if broadcast.status not in {BroadcastStatus.DRAFT, BroadcastStatus.SCHEDULED}:
        return
    if broadcast.status is BroadcastStatus.DRAFT and job.shown != card.fingerprint(broadcast):
        raise DraftChanged(broadcast.id)
    home.orders.start(StartBroadcast(broadcast_id=broadcast.id), key="", expected=broadcast)
    admin_actions.record(home.engine, _action(job, job_id, "start"), DONE)


def refused_by_telegram(reason: str) -> str:
    refused = gettext("Nothing was sent. Telegram refuses this message: {why}", why=halts.shown(reason))
    hint = joined(
        gettext("A text with tags is read as Telegram's HTML."),
        mention("broadcast", "To send a message as it is, reply {command} to it."),
    )
    return f"{refused}\n{hint}"
