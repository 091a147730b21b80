"""The reply sender carries answers to Telegram, from one event loop per worker process.

A task hands its messages over and goes on: a slow Telegram holds neither the task's slot nor a database connection.
The job's record stays in the inbox until the last message is out.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from html import unescape
from typing import Any

import structlog
import uvloop
from telegram import (
    Bot,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    ReplyKeyboardMarkup,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import TelegramError

from ballast.inbox import Batcher
from ballast.messages import Invoice, Message
from ballast.status.counters import LocalCounters
from ballast.telegram.bot import make_bot
from ballast.telegram.calls import call
from ballast.telegram.errors import SendResult, SendStatus, classify
from ballast.telegram.floods import method_wait, refuse_method
from ballast.telegram.rate_limiter import RateLimiter
from ballast.texts import gettext
from dbcore.currencies import STARS
from dbcore.settings import Settings

log = structlog.get_logger(__name__)

OUTSTANDING_MAX = 64
"""Answers under way at once in one process. Past it, tasks wait for one to leave."""


_NO_PREVIEW = '{"is_disabled": true}'
"""What the bot says may have people's words in it, and their links are not to be shown as the bot's."""


class ReplySender:
    """Owns the event loop's thread and the Bot. Made after the fork; `close()` ends both."""

    def __init__(
        self, settings: Settings, counters: LocalCounters | None = None, *, bulk_sends_max: int = 0
    ) -> None:
        """counters -- counts the requests to Telegram.
        bulk_sends_max -- how many sends of broadcasts may be under way beside the answers.
        """
        self._bot: Bot | None = None
        if settings.telegram_bot_token is not None:
            self._bot = make_bot(settings, connections=OUTSTANDING_MAX + bulk_sends_max, counters=counters)
        else:
            log.warning(
                "no_bot_token",
                meaning="this worker does its jobs, and their answers wait for one that has it",
            )
        self.closing = threading.Event()
        """The process ends: a step that can begin less should."""
        self._slots = threading.BoundedSemaphore(OUTSTANDING_MAX)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reply_sender", daemon=True)
        self._thread.start()

    def submit(self, step: Callable[[Bot | None], Coroutine[None, None, None]]) -> None:
        """Start a step on the loop. It gets the bot, where there is one.

        Blocks while OUTSTANDING_MAX are under way.
        """
        self._slots.acquire()
        future = asyncio.run_coroutine_threadsafe(step(self._bot), self._loop)
        future.add_done_callback(self._on_done)

    def close(self, seconds_max: float) -> None:
        """Wait for steps under way, then end the loop. What is not out by then is given back by the inbox."""
        self.closing.set()
        deadline = time.monotonic() + seconds_max
        waited = [
            self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())) for _ in range(OUTSTANDING_MAX)
        ]
        if not all(waited):
            log.warning("answers_left_behind", count=waited.count(False))
        closing = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        closing.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        self._thread.join(timeout=seconds_max)

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._bot is not None:
            await self._bot.request.shutdown()

    def _on_done(self, future: Future[None]) -> None:
        self._slots.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("errand_failed", exc_info=error)


async def send(bot: Bot, message: Message, *, reached: bool = True) -> SendResult:
    """Send or edit one message, and say what Telegram's answer means.

    reached -- the message before it was taken by the private chat: the button that opens that chat need not start it.
    """
    verdict = replace(await _sent(bot, message, reached), chat_id=message.chat_id)
    if verdict.meaning is SendStatus.DELIVERED:
        log.debug("answer_sent", message_id=verdict.message_id, edited=message.edit_message_id is not None)
    return verdict


async def _sent(bot: Bot, message: Message, reached: bool) -> SendResult:
    try:
        keyboard = await _keyboard(bot, message, reached)
        if message.edit_message_id is not None:
            await call(
                bot,
                "editMessageText",
                {
                    "chat_id": message.chat_id,
                    "message_id": message.edit_message_id,
                    "text": message.text,
                    "reply_markup": keyboard.to_dict()
                    if isinstance(keyboard, InlineKeyboardMarkup)
                    else None,
                    "parse_mode": ParseMode.HTML,
                    "link_preview_options": _NO_PREVIEW,
                },
            )
            return SendResult(SendStatus.DELIVERED, message_id=message.edit_message_id)
        quoted = None
        if message.quotes is not None:
            quoted = ReplyParameters(message.quotes, allow_sending_without_reply=True)
        text = message.text
        if message.invoice is not None and message.invoice.link_in is not None:
            link = await call(bot, "createInvoiceLink", _offer(message, message.invoice))
            text = message.invoice.link_in.replace("{link}", str(link))
        elif message.invoice is not None:
            result = await call(bot, "sendInvoice", _invoice(message, message.invoice, quoted))
            return SendResult(SendStatus.DELIVERED, message_id=result["message_id"])
        if message.picture is not None:
            sent = await bot.send_photo(
                message.chat_id,
                base64.b64decode(message.picture),
                caption=message.text,
                reply_markup=keyboard,
                parse_mode=ParseMode.HTML,
                reply_parameters=quoted,
                message_thread_id=message.thread_id,
            )
            return SendResult(SendStatus.DELIVERED, message_id=sent.message_id)
        result = await call(
            bot,
            "sendMessage",
            {
                "chat_id": message.chat_id,
                "text": text,
                "reply_markup": keyboard.to_dict() if keyboard else None,
                "parse_mode": ParseMode.HTML,
                "reply_parameters": quoted.to_dict() if quoted else None,
                "message_thread_id": message.thread_id,
                "link_preview_options": _NO_PREVIEW,
            },
        )
    except TelegramError as error:
        return classify(error)
    return SendResult(SendStatus.DELIVERED, message_id=result["message_id"])


def _invoice(message: Message, invoice: Invoice, quoted: ReplyParameters | None) -> dict[str, Any]:
    return {
        "chat_id": message.chat_id,
        **_offer(message, invoice),
        "reply_parameters": quoted.to_dict() if quoted else None,
        "message_thread_id": message.thread_id,
    }


def _offer(message: Message, invoice: Invoice) -> dict[str, Any]:
    return {
        "title": invoice.title,
        "description": unescape(message.text),
        "payload": invoice.payload,
        "currency": STARS,
        "prices": [{"label": invoice.title, "amount": invoice.stars}],
    }


async def delete_message(
    bot: Bot,
    rate_limiter: RateLimiter,
    chat_id: int,
    message_id: int,
    *,
    waits: Batcher[str, float] | None = None,
) -> None:
    """Delete a message that is untrue by now. Best effort: it is beside the answer, not the answer.

    waits -- asks the rate_limiter for many together.
    """
    deletion = f"deleteMessage:{chat_id}"  # nobody waits for it, and what is sent to the chat was not refused
    if await method_wait(rate_limiter, deletion, waits):
        return
    try:
        await call(bot, "deleteMessage", {"chat_id": chat_id, "message_id": message_id})
    except TelegramError as error:
        await refuse_method(rate_limiter, deletion, error)
        log.info("withdrawal_failed", error=str(error))


async def _keyboard(
    bot: Bot, message: Message, reached: bool
) -> InlineKeyboardMarkup | ReplyKeyboardMarkup | ForceReply | None:
    if message.asks:
        return ForceReply(selective=True)
    if message.choices:
        return ReplyKeyboardMarkup(
            [[choice] for choice in message.choices], resize_keyboard=True, one_time_keyboard=True
        )
    rows = [
        [InlineKeyboardButton(button.text, callback_data=button.data) for button in row]
        for row in message.buttons
    ]
    if message.opens is not None:
        address = f"https://t.me/{await _username(bot)}"
        rows.append(
            [InlineKeyboardButton(gettext("Open the private chat"), url=address)]
            if reached
            else [
                InlineKeyboardButton(
                    gettext("Start the private chat"), url=f"{address}?start={message.opens}"
                )
            ]
        )
    return InlineKeyboardMarkup(rows) if rows else None


async def _username(bot: Bot) -> str:
    """The bot's own, which is asked for once in a process."""
    try:
        return bot.username
    except RuntimeError:  # it did not ask yet
        return (await bot.get_me()).username or ""
