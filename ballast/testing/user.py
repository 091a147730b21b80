"""A person of the local Telegram: what they do is a plain call, what they wait for is awaited."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from ballast.testing.event_loop import EventLoop
from ballast.testing.places import Chat, Group, Topic
from devstack.telegram.control import POLL_SECONDS, TelegramControl
from devstack.telegram.control_objects import SeenMessage, Sent
from devstack.telegram.images import png

A_PHOTO = png(8, 8)
READS_WITHIN_SECONDS = 30.0
SHOWN_MAX = 20
"""So many messages of the chat are shown if what was waited for does not come."""


@dataclass(frozen=True)
class Pressed:
    """A button that was pressed."""

    update_id: int | None
    _answer: Callable[[float], Awaitable[str]] = field(repr=False)

    async def toast(self, *, within: float = READS_WITHIN_SECONDS) -> str:
        """What the presser is shown; empty if the bot only ended the spinner."""
        __tracebackhide__ = True
        return await self._answer(within)


class User:
    """Talks to the bot in their private chat, or in the Group or Topic that is given as `where`."""

    def __init__(
        self, loop: EventLoop, control: TelegramControl, user_id: int, name: str, *, seen: int = 0
    ) -> None:
        self.id = user_id
        self.name = name
        self._loop = loop
        self._control = control
        self._seen = seen
        self._read: set[int] = set()

    def __repr__(self) -> str:
        return f"User({self.id}, {self.name!r})"

    # What they do

    def say(
        self, text: str, where: Group | Topic | None = None, *, reply_to: SeenMessage | Sent | None = None
    ) -> Sent:
        """Send a text. In a group the bot gets commands, mentions and replies to its own messages only."""
        chat = self._chat(where)
        answered = reply_to.message if isinstance(reply_to, Sent) else reply_to
        return self._loop.run(
            self._control.send_text(
                self.id,
                text,
                chat_id=chat.id if answered is None else answered.chat_id,
                thread_id=chat.thread_id if answered is None else answered.message.get("message_thread_id"),
                reply_to_message_id=None if answered is None else answered.message_id,
            )
        )

    def edit(self, sent: Sent, text: str) -> None:
        """Change the text of a message of theirs."""
        message = sent.message
        self._loop.run(self._control.edit_text(self.id, message.message_id, text, chat_id=message.chat_id))

    def press(self, label: str, message: SeenMessage | None = None) -> Pressed:
        """Press the button whose label contains `label`: of this message, or of the latest of the private chat that
        has one.
        """
        __tracebackhide__ = True
        shown = self.messages() if message is None else [message]
        for candidate in reversed(shown):
            if (data := _data_of(label, candidate)) is not None:
                pressing = self._control.press(self.id, candidate.message_id, data, chat_id=candidate.chat_id)
                (press,) = self._loop.run(pressing)
                return Pressed(press.update_id, partial(self._toast_of, press.callback_query_id))
        raise AssertionError(f"{self.name} sees no button {label!r}. What is there:\n{_shown(shown)}")

    def send_photo(
        self, photo: bytes = A_PHOTO, caption: str = "", where: Group | Topic | None = None
    ) -> Sent:
        """Send a PNG, GIF or JPEG."""
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_photo(self.id, photo, caption, chat_id=chat.id, thread_id=chat.thread_id)
        )

    def send_album(
        self, photos: list[bytes], caption: str = "", where: Group | Topic | None = None
    ) -> list[Sent]:
        """Send several photos as one message; the bot gets an update for each."""
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_album(self.id, photos, caption, chat_id=chat.id, thread_id=chat.thread_id)
        )

    def send_video(
        self,
        video: bytes,
        file_name: str = "video.mp4",
        caption: str = "",
        where: Group | Topic | None = None,
    ) -> Sent:
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_video(
                self.id, video, file_name, caption, chat_id=chat.id, thread_id=chat.thread_id
            )
        )

    def send_document(
        self, content: bytes, file_name: str, caption: str = "", where: Group | Topic | None = None
    ) -> Sent:
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_document(
                self.id, content, file_name, caption, chat_id=chat.id, thread_id=chat.thread_id
            )
        )

    def send_location(self, latitude: float, longitude: float, where: Group | Topic | None = None) -> Sent:
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_location(
                self.id, latitude, longitude, chat_id=chat.id, thread_id=chat.thread_id
            )
        )

    def send_contact(self, phone_number: str, where: Group | Topic | None = None) -> Sent:
        """Share their own number."""
        chat = self._chat(where)
        return self._loop.run(
            self._control.send_contact(
                self.id, phone_number, self.name, whose=self.id, chat_id=chat.id, thread_id=chat.thread_id
            )
        )

    def pay(
        self,
        what: SeenMessage | int,
        *,
        currency: str = "XTR",
        payload: str = "an invoice",
        charge_id: str | None = None,
        refunded: bool = False,
    ) -> Sent:
        """Telegram tells the bot that they paid an invoice, or so many minor units, or that they were refunded.
        It does so whatever the bot answered to `check_out`.
        """
        amount, invoice = _priced(what)
        return self._loop.run(
            self._control.pay(
                self.id,
                amount,
                charge_id or secrets.token_hex(8),
                currency=currency,
                payload=payload,
                invoice=invoice,
                refunded=refunded,
            )
        )

    def block(self) -> None:
        """Block the bot."""
        self._loop.run(self._control.block(self.id))

    def unblock(self) -> None:
        self._loop.run(self._control.unblock(self.id))

    # What they see

    async def reads(
        self,
        text: str | re.Pattern[str],
        where: Group | Topic | None = None,
        *,
        within: float = READS_WITHIN_SECONDS,
    ) -> SeenMessage:
        """Wait for a message of the bot that contains `text`, or in which the pattern is found, and return it.

        Each message is read once, and again if the bot edits it; what was not asked for stays to be read.
        """
        __tracebackhide__ = True
        chat = self._chat(where)
        found = await self._loop.wait_for(self._wait_for(text, chat, within))
        if found is None:
            raise AssertionError(await self._loop.wait_for(self._why_not(text, chat, within)))
        self._read.add(found.revision)
        return found

    async def check_out(
        self,
        what: SeenMessage | int,
        *,
        currency: str = "XTR",
        payload: str = "an invoice",
        within: float = READS_WITHIN_SECONDS,
    ) -> str | None:
        """Press Pay on an invoice, or on one of so many minor units that was never sent. Telegram asks the bot:
        None if it agrees, else its words.
        """
        __tracebackhide__ = True
        amount, invoice = _priced(what)
        asked = self._loop.run(
            self._control.check_out(self.id, amount, currency=currency, payload=payload, invoice=invoice)
        )
        answer = (await self._loop.wait_for(self._control.checkout(asked, wait_seconds=within)))["answer"]
        if answer is None:
            raise AssertionError(f"the bot did not answer the question before a payment within {within:g} s")
        return None if answer["ok"] else str(answer["error_message"])

    def messages(self, where: Group | Topic | None = None) -> list[SeenMessage]:
        """All messages of the bot that are there now, oldest first."""
        shown = self._loop.run(self._all_in(self._chat(where)))
        return [message for message in shown if message.from_bot]

    def menu(self, where: Group | Topic | None = None) -> list[str]:
        """The commands that they are offered."""
        offered = self._loop.run(self._control.menu(self.id, self._chat(where).id))
        return [entry["command"] for entry in offered]

    def _chat(self, where: Group | Topic | None) -> Chat:
        return Chat(self.id) if where is None else where.chat

    async def _toast_of(self, query_id: str, within: float) -> str:
        __tracebackhide__ = True
        query = await self._loop.wait_for(self._control.callback_query(query_id, wait_seconds=within))
        if query.answer is None:
            raise AssertionError(f"the bot did not answer the press within {within:g} s")
        return str(query.answer["text"])

    async def _all_in(self, chat: Chat) -> list[SeenMessage]:
        found = await self._control.messages(chat.id, after=self._seen)
        return sorted(filter(chat.has, found), key=lambda message: message.message_id)

    async def _why_not(self, text: str | re.Pattern[str], chat: Chat, within: float) -> str:
        wanted = repr(text if isinstance(text, str) else text.pattern)
        there = _shown(await self._all_in(chat), self._read)
        told = f"{self.name} did not read {wanted} within {within:g} s. What is there:\n{there}"
        if waiting := len(await self._control.updates(state="pending")):
            told += f"\nThe bot has not taken {waiting} of its updates. Is it running?"
        return told

    async def _wait_for(self, text: str | re.Pattern[str], chat: Chat, within: float) -> SeenMessage | None:
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        after = self._seen
        while True:
            wait = max(0.0, min(deadline - loop.time(), POLL_SECONDS))
            arrived = await self._control.messages(chat.id, after=after, from_bot=True, wait_seconds=wait)
            for message in arrived:
                after = message.revision
                if chat.has(message) and message.revision not in self._read and pattern.search(message.text):
                    return message
            if not arrived and loop.time() >= deadline:
                return None


def _priced(what: SeenMessage | int) -> tuple[int | None, SeenMessage | None]:
    return (what, None) if isinstance(what, int) else (None, what)


def _data_of(label: str, message: SeenMessage) -> str | None:
    """Of the button with this label, else of the first whose label contains it."""
    buttons = [(text, data) for text, data in message.buttons if data is not None and label in text]
    return min(buttons, key=lambda button: button[0] != label)[1] if buttons else None


def _shown(messages: list[SeenMessage], read: set[int] | frozenset[int] = frozenset()) -> str:
    """As one would see them, the last ones only."""
    lines = [_line(message, message.revision in read) for message in messages[-SHOWN_MAX:]]
    return "\n".join(lines) or "    nothing"


def _line(message: SeenMessage, was_read: bool) -> str:
    who = "the bot" if message.from_bot else message.message["from"]["first_name"]
    text = message.text or next(
        (
            f"[{kind}]"
            for kind in ("photo", "video", "document", "location", "contact")
            if kind in message.message
        ),
        "[something]",
    )
    buttons = "".join(f" [{label}]" for label, _ in message.buttons)
    lines = f"    {who}: {text}{buttons}".replace("\n", "\n        ")
    return f"{lines}  (read before)" if was_read else lines
