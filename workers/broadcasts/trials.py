"""A broadcast that is tried out: one admin gets it as everybody would, by the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ballast.broadcasts.audience import A, B, payload_of
from ballast.builtin.broadcasts import TryBroadcast
from ballast.messages import Message
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import Progress
from dbcore.broadcasts.leases import Recipient
from workers.broadcasts.broadcaster import Broadcaster, acquire_send_slot, defer
from workers.broadcasts.drafts import refused_by_telegram
from workers.broadcasts.send_one import post

if TYPE_CHECKING:
    from telegram import Bot


@dataclass(frozen=True)
class Trial:
    """Where Telegram has it wait, all of it is sent anew: it is a test."""

    home: Broadcaster
    broadcast: Progress
    chat_id: int
    job_id: str

    async def run(self, maybe_bot: Bot | None) -> list[Message]:
        with await asyncio.to_thread(self.home.languages.speaking_to, self.chat_id):
            return await self._run(maybe_bot)

    async def _run(self, maybe_bot: Bot | None) -> list[Message]:
        variants: Sequence[str] = (A, B) if "other" in self.broadcast.payload else (A,)
        pieces = self.broadcast.pieces * len(variants)
        bot = await acquire_send_slot(self.home, maybe_bot, self.chat_id, pieces=pieces)
        for variant in variants:
            payload = payload_of(self.broadcast.payload, variant)
            posted = await post(bot, payload, Recipient(user_id=0, telegram_id=self.chat_id), paid=False)
            if posted.wait_seconds:
                raise await defer(self.home, posted.wait_seconds, self.chat_id, flood=posted.flood)
            why = posted.bad_payload or posted.result.error
            if why is not None:
                await asyncio.to_thread(self._note, why)
                return [Message(chat_id=self.chat_id, text=refused_by_telegram(why))]
        await asyncio.to_thread(self._note, None)
        return []

    def _note(self, error: str | None) -> None:
        self.home.lanes.end_trial(self.broadcast.id, self.chat_id, self.job_id, error)


def trial(home: Broadcaster, job: TryBroadcast, job_id: str) -> Trial:
    """Raises BroadcastRefused."""
    return Trial(home, broadcasts.require_progress(home.engine, job.broadcast_id), job.telegram_id, job_id)
