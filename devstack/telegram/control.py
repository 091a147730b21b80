"""The control API's client: what a test says to the local Telegram.

async with TelegramControl("http://127.0.0.1:8081") as telegram:
    bob = await telegram.create_user("Bob", username="bob")
    await telegram.send_text(bob.id, "/start")
    welcome = await telegram.wait_for_message(bob.id, lambda message: "Welcome" in message.text)
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp

from devstack.telegram.control_objects import (
    ApiRequest,
    CallbackQuery,
    ChatUser,
    FaultOrder,
    Group,
    Press,
    QueuedUpdate,
    SeenMessage,
    Sent,
)

DEFAULT_WAIT_SECONDS = 60.0
# One long poll; longer waits are made of several.
POLL_SECONDS = 20.0


class ControlRefusedError(Exception):
    """The control API said no; `status` is the HTTP status, the message its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class MessageMissingError(AssertionError):
    """What a test waited for did not come; tells what came instead."""


class TelegramControl:
    """Acts as people, orders faults and reads the record of one local Telegram."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120.0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # People and chats

    async def users(self) -> list[ChatUser]:
        return [ChatUser.read(user) for user in (await self._get("/users"))["users"]]

    async def create_user(
        self,
        first_name: str,
        *,
        user_id: int | None = None,
        username: str | None = None,
        is_admin: bool = False,
        started: bool = False,
    ) -> ChatUser:
        """`started` opens the chat with the bot without sending it anything."""
        answer = await self._post(
            "/users",
            first_name=first_name,
            id=user_id,
            username=username,
            is_admin=is_admin,
            started=started,
        )
        return ChatUser.read(answer["user"])

    async def create_users(
        self, count: int, *, first_id: int | None = None, first_name: str = "User", started: bool = True
    ) -> range:
        """Many users at once; returns their ids."""
        answer = await self._post(
            "/users/many", count=count, first_id=first_id, first_name=first_name, started=started
        )
        return range(answer["first_id"], answer["last_id"] + 1)

    async def change_user(self, user_id: int, **changes: Any) -> ChatUser:
        """first_name, last_name, username (None frees it), language_code, is_admin, deactivated."""
        return ChatUser.read((await self._request("PATCH", f"/users/{user_id}", changes))["user"])

    async def block(self, user_id: int) -> int | None:
        return _optional_id(await self._post(f"/users/{user_id}/block"))

    async def unblock(self, user_id: int) -> int | None:
        return _optional_id(await self._post(f"/users/{user_id}/unblock"))

    async def create_group(
        self, title: str, member_ids: list[int], *, supergroup: bool = False, chat_id: int | None = None
    ) -> Group:
        kind = "supergroup" if supergroup else "group"
        answer = await self._post("/chats", title=title, member_ids=member_ids, type=kind, id=chat_id)
        return Group.read(answer["chat"])

    async def set_bot_status(self, chat_id: int, user_id: int, status: str) -> int | None:
        """The bot in a group, as `user_id` has it: member, kicked or left."""
        return _optional_id(await self._post(f"/chats/{chat_id}/bot", user_id=user_id, status=status))

    async def upgrade_group(self, chat_id: int) -> Group:
        return Group.read((await self._post(f"/chats/{chat_id}/upgrade"))["chat"])

    async def create_topic(self, chat_id: int, user_id: int, name: str) -> int:
        """Its thread id. The first topic makes a supergroup a forum."""
        answer = await self._post(f"/chats/{chat_id}/topics", user_id=user_id, name=name)
        return int(answer["topic"]["thread_id"])

    async def close_topic(self, chat_id: int, thread_id: int, *, closed: bool = True) -> None:
        """Close it, or open it again. General is topic 1."""
        fields = {"thread_id": thread_id, "closed": closed}
        await self._request("PATCH", f"/chats/{chat_id}/topics", fields)

    async def delete_group(self, chat_id: int) -> Group:
        return Group.read((await self._post(f"/chats/{chat_id}/delete"))["chat"])

    async def menu(self, user_id: int, chat_id: int | None = None) -> list[dict[str, str]]:
        """The commands this user is shown there."""
        commands: list[dict[str, str]] = (await self._get("/commands", user_id=user_id, chat_id=chat_id))[
            "commands"
        ]
        return commands

    # What people do

    async def send_text(
        self,
        user_id: int,
        text: str,
        *,
        chat_id: int | None = None,
        reply_to_message_id: int | None = None,
        thread_id: int | None = None,
    ) -> Sent:
        return await self._send(
            user_id,
            chat_id=chat_id,
            text=text,
            reply_to_message_id=reply_to_message_id,
            thread_id=thread_id,
        )

    async def send_photo(
        self,
        user_id: int,
        photo: bytes,
        caption: str = "",
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
        album: str | None = None,
    ) -> Sent:
        return await self._send(
            user_id,
            chat_id=chat_id,
            thread_id=thread_id,
            photo=_encoded(photo),
            text=caption,
            media_group_id=album,
        )

    async def send_album(
        self,
        user_id: int,
        photos: list[bytes],
        caption: str = "",
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> list[Sent]:
        """Several photos as one message; the caption hangs on the first."""
        album = str(secrets.randbits(53))
        return [
            await self.send_photo(
                user_id,
                photo,
                caption if number == 0 else "",
                chat_id=chat_id,
                thread_id=thread_id,
                album=album,
            )
            for number, photo in enumerate(photos)
        ]

    async def send_video(
        self,
        user_id: int,
        video: bytes,
        file_name: str,
        caption: str = "",
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> Sent:
        return await self._send(
            user_id,
            chat_id=chat_id,
            thread_id=thread_id,
            video=_encoded(video),
            file_name=file_name,
            text=caption,
        )

    async def send_document(
        self,
        user_id: int,
        document: bytes,
        file_name: str,
        caption: str = "",
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> Sent:
        return await self._send(
            user_id,
            chat_id=chat_id,
            thread_id=thread_id,
            document=_encoded(document),
            file_name=file_name,
            text=caption,
        )

    async def send_location(
        self,
        user_id: int,
        latitude: float,
        longitude: float,
        *,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> Sent:
        place = {"latitude": latitude, "longitude": longitude}
        return await self._send(user_id, chat_id=chat_id, thread_id=thread_id, location=place)

    async def send_contact(
        self,
        user_id: int,
        phone_number: str,
        first_name: str,
        *,
        whose: int | None = None,
        chat_id: int | None = None,
        thread_id: int | None = None,
    ) -> Sent:
        """`whose` is the Telegram ID of the contact: the sender's own, if they share their number."""
        contact = _given({"phone_number": phone_number, "first_name": first_name, "user_id": whose})
        return await self._send(user_id, chat_id=chat_id, thread_id=thread_id, contact=contact)

    async def edit_text(
        self, user_id: int, message_id: int, text: str, *, chat_id: int | None = None
    ) -> int | None:
        fields = {"user_id": user_id, "chat_id": chat_id, "text": text}
        return _optional_id(await self._request("PATCH", f"/messages/{message_id}", _given(fields)))

    async def press(
        self,
        user_id: int,
        message_id: int,
        callback_data: str,
        *,
        chat_id: int | None = None,
        deliveries: int = 1,
        same_query_id: bool = False,
        force: bool = False,
    ) -> list[Press]:
        """Press a button; several deliveries are one press that the app sent again after reconnecting."""
        answer = await self._post(
            "/presses",
            user_id=user_id,
            chat_id=chat_id,
            message_id=message_id,
            callback_data=callback_data,
            deliveries=deliveries,
            same_query_id=same_query_id,
            force=force,
        )
        return [Press(press["callback_query_id"], press["update_id"]) for press in answer["presses"]]

    async def press_button(self, user_id: int, message: SeenMessage, text: str) -> Press:
        """Press the button of this message whose label contains `text`."""
        for label, callback_data in message.buttons:
            if text in label and callback_data is not None:
                pressed = await self.press(
                    user_id, message.message_id, callback_data, chat_id=message.chat_id
                )
                return pressed[0]
        raise MessageMissingError(f"no button {text!r} under {message.text!r}: {message.buttons}")

    async def check_out(
        self,
        user_id: int,
        total_amount: int | None = None,
        *,
        currency: str = "XTR",
        payload: str = "an invoice",
        invoice: SeenMessage | None = None,
    ) -> str:
        """Press Pay on an invoice of the bot, or on one that is only said; returns the pre-checkout query's id."""
        price = _price(total_amount, currency, payload, invoice)
        answer = await self._post("/checkouts", user_id=user_id, **price)
        return str(answer["pre_checkout_query_id"])

    async def checkout(self, query_id: str, *, wait_seconds: float = 0.0) -> dict[str, Any]:
        """A pre-checkout query and its answer; `wait_seconds` waits for the answer."""
        answer = await self._get(f"/checkouts/{query_id}", wait_seconds=wait_seconds)
        checkout: dict[str, Any] = answer["checkout"]
        return checkout

    async def pay(
        self,
        user_id: int,
        total_amount: int | None,
        charge_id: str,
        *,
        currency: str = "XTR",
        payload: str = "an invoice",
        invoice: SeenMessage | None = None,
        refunded: bool = False,
        lost: bool = False,
    ) -> Sent:
        """Telegram says that they paid, or were refunded, whatever the bot said to the question before.

        lost -- the bot never gets the update, as if Telegram had dropped it after a day.
        """
        price = _price(total_amount, currency, payload, invoice)
        answer = await self._post(
            "/payments", user_id=user_id, charge_id=charge_id, refunded=refunded, lost=lost, **price
        )
        return Sent(SeenMessage.read(answer["message"]), answer["update_id"])

    async def subscribe(
        self, user_id: int, link: str, charge_id: str, *, renew: bool = False, lost: bool = False
    ) -> int | None:
        """They subscribe by a link of the bot's, or Telegram renews that; returns the update's id."""
        action = "renew" if renew else "begin"
        answer = await self._post(
            "/subscriptions", user_id=user_id, link=link, action=action, charge_id=charge_id, lost=lost
        )
        return _optional_id(answer)

    async def turn_subscription(self, user_id: int, link: str, action: str) -> int | None:
        """The subscriber cancels it or resumes it in Telegram, or fails to pay (`cancel`, `resume`, `fail`)."""
        return _optional_id(await self._post("/subscriptions", user_id=user_id, link=link, action=action))

    async def subscriptions(self, user_id: int) -> list[dict[str, Any]]:
        """As Telegram has them, the oldest first."""
        answer = await self._get(f"/users/{user_id}/subscriptions")
        found: list[dict[str, Any]] = answer["subscriptions"]
        return found

    async def invoice_link(self, link: str) -> dict[str, Any]:
        """What a link of the bot's asks for."""
        answer: dict[str, Any] = (await self._get("/invoice_link", link=link))["link"]
        return answer

    async def star_book(self) -> dict[str, Any]:
        """Telegram's own book of the bot's Stars: its transactions, oldest first, and the balance."""
        return await self._get("/stars")

    async def book_stars(
        self,
        transaction_id: str,
        stars: int,
        partner: dict[str, Any],
        *,
        nanostars: int = 0,
        outgoing: bool = False,
    ) -> None:
        """Any other transaction in that book, such as a withdrawal: `partner` is a TransactionPartner."""
        await self._post(
            "/stars",
            id=transaction_id,
            stars=stars,
            nanostars=nanostars,
            partner=partner,
            outgoing=outgoing,
        )

    # What people see

    async def messages(
        self,
        chat_id: int | None = None,
        *,
        after: int = 0,
        from_bot: bool | None = None,
        include_deleted: bool = False,
        limit: int | None = None,
        wait_seconds: float = 0.0,
    ) -> list[SeenMessage]:
        """Messages whose revision is above `after`, oldest change first."""
        answer = await self._get(
            "/messages",
            chat_id=chat_id,
            after=after,
            from_bot=from_bot,
            include_deleted=include_deleted,
            limit=limit,
            wait_seconds=wait_seconds,
        )
        return [SeenMessage.read(message) for message in answer["messages"]]

    async def last_revision(self) -> int:
        """Of all messages: what changes from now on has a later one."""
        answer = await self._get("/messages", limit=1)
        return int(answer["as_of_revision"])

    async def wait_for_message(
        self,
        chat_id: int | None,
        predicate: Callable[[SeenMessage], bool] = lambda _: True,
        *,
        after: int = 0,
        from_bot: bool | None = True,
        timeout_seconds: float = DEFAULT_WAIT_SECONDS,
    ) -> SeenMessage:
        """The first message, new or edited since revision `after`, that the predicate accepts."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        seen: list[str] = []
        while (left := deadline - loop.time()) > 0:
            wait = min(left, POLL_SECONDS)
            for message in await self.messages(chat_id, after=after, from_bot=from_bot, wait_seconds=wait):
                if predicate(message):
                    return message
                after = message.revision
                seen.append(message.text)
        raise MessageMissingError(
            f"no such message in chat {chat_id} within {timeout_seconds} s, but: {seen}"
        )

    async def callback_query(self, query_id: str, *, wait_seconds: float = 0.0) -> CallbackQuery:
        """A press and its answer; `wait_seconds` waits for the answer."""
        answer = await self._get(f"/callback_queries/{query_id}", wait_seconds=wait_seconds)
        return CallbackQuery.read(answer["callback_query"])

    async def callback_queries(self, chat_id: int) -> list[CallbackQuery]:
        answer = await self._get("/callback_queries", chat_id=chat_id)
        return [CallbackQuery.read(query) for query in answer["callback_queries"]]

    # The truth

    async def updates(
        self, *, state: str = "all", kind: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[QueuedUpdate]:
        """Updates with seq above `after`; state is all, pending or acknowledged."""
        answer = await self._get("/updates", state=state, kind=kind, after=after, limit=limit)
        return [QueuedUpdate.read(update) for update in answer["updates"]]

    async def wait_until_acknowledged(self, *, timeout_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
        """Return when no update is pending."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while (left := deadline - loop.time()) > 0:
            answer = await self._get("/updates/pending", wait_seconds=min(left, POLL_SECONDS))
            if answer["pending_update_count"] == 0:
                return
        raise MessageMissingError(f"updates are still pending after {timeout_seconds} s")

    async def inject(self, update: dict[str, Any]) -> int:
        """Queue a raw update, well-formed or not."""
        return int((await self._post("/updates", update=update))["update_id"])

    async def redeliver(self, update_id: int) -> None:
        """Hand out an update once more, acknowledged or not, as if the offset had never arrived."""
        await self._post(f"/updates/{update_id}/redeliver")

    async def requests(
        self,
        *,
        method: str | None = None,
        chat_id: int | None = None,
        outcome: str | None = None,
        took_effect: bool | None = None,
        after: int = 0,
        limit: int | None = None,
        wait_seconds: float = 0.0,
    ) -> list[ApiRequest]:
        """The record of the bot's requests, with what each was told and whether it took effect."""
        answer = await self._get(
            "/requests",
            method=method,
            chat_id=chat_id,
            outcome=outcome,
            took_effect=took_effect,
            after=after,
            limit=limit,
            wait_seconds=wait_seconds,
        )
        return [ApiRequest.read(request) for request in answer["requests"]]

    async def request_counts(self) -> list[dict[str, Any]]:
        counts: list[dict[str, Any]] = (await self._get("/requests/counts"))["counts"]
        return counts

    async def webhook_deliveries(self, *, after: int = 0) -> list[dict[str, Any]]:
        answer = await self._get("/webhook_deliveries", after=after)
        deliveries: list[dict[str, Any]] = answer["webhook_deliveries"]
        return deliveries

    async def health(self) -> dict[str, Any]:
        return await self._get("/health")

    # The weather

    async def add_fault(
        self,
        kind: str,
        *,
        methods: list[str] | None = None,
        chat_id: int | None = None,
        count: int | None = None,
        **more: Any,
    ) -> FaultOrder:
        """Order a fault; kinds and further fields (skip, when, seconds, retry_after ...) are in faults.py."""
        answer = await self._post("/faults", kind=kind, methods=methods, chat_id=chat_id, count=count, **more)
        return FaultOrder.read(answer["fault"])

    async def faults(self) -> list[FaultOrder]:
        return [FaultOrder.read(fault) for fault in (await self._get("/faults"))["faults"]]

    async def clear_faults(self, fault_id: int | None = None) -> None:
        """Take back one fault, or all."""
        await self._request("DELETE", "/faults" if fault_id is None else f"/faults/{fault_id}")

    async def set_limits(self, *, enabled: bool, **limits: float) -> dict[str, Any]:
        answer = await self._request("PUT", "/limits", {"enabled": enabled, **limits})
        settings: dict[str, Any] = answer["limits"]
        return settings

    async def advance_clock(self, seconds: int) -> None:
        await self._post("/clock", advance_seconds=seconds)

    async def reset(self, *, bot_settings: bool = False) -> None:
        """Back to the demo people and nothing else; ids go on, and no fault is left.

        What the bot set (webhook, commands, allowed updates) stays, unless `bot_settings`.
        """
        await self._post("/reset", bot_settings=bot_settings)

    async def _send(self, user_id: int, **fields: Any) -> Sent:
        answer = await self._post("/messages", user_id=user_id, **fields)
        return Sent(SeenMessage.read(answer["message"]), answer["update_id"])

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        texts = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in _given(query).items()
        }
        return await self._request("GET", path, query=texts)

    async def _post(self, path: str, **fields: Any) -> dict[str, Any]:
        return await self._request("POST", path, _given(fields))

    async def _request(
        self,
        method: str,
        path: str,
        fields: dict[str, Any] | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("TelegramControl is used inside `async with`")
        body = None if method == "GET" else (fields or {})
        async with self._session.request(
            method, f"{self.url}/control{path}", params=query, json=body
        ) as response:
            answer: dict[str, Any] = await response.json()
            if response.status >= 400:
                raise ControlRefusedError(response.status, answer.get("error", "no reason given"))
            return answer


def _price(
    total_amount: int | None, currency: str, payload: str, invoice: SeenMessage | None
) -> dict[str, Any]:
    if invoice is not None:
        return {"invoice": invoice.message_id, "chat_id": invoice.chat_id}
    return {"total_amount": total_amount, "currency": currency, "payload": payload}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _optional_id(answer: dict[str, Any]) -> int | None:
    update_id: int | None = answer["update_id"]
    return update_id
