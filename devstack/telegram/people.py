"""What people do: write, press, block, come and go. Each act makes the updates Telegram would make."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace
from typing import Any

from devstack.telegram.errors import ControlError
from devstack.telegram.images import image_size, image_type
from devstack.telegram.keyboards import find_button
from devstack.telegram.methods.payments import tell_of_payment
from devstack.telegram.methods.sending import document, photo_size, thread_fields, video
from devstack.telegram.state.chats import BotStatus, Chat, ChatType
from devstack.telegram.state.messages import StoredMessage
from devstack.telegram.state.topics import GENERAL_ID, Topic
from devstack.telegram.state.users import User
from devstack.telegram.telegram import Telegram
from devstack.telegram.text import TEXT_LENGTH_MAX, parse_text

# The app's own words for a press on a button that is not there any more.
GONE = "the message has no such button; pass force to press it as an app that has not refreshed would"


class People:
    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    def add(self, user: User, *, started: bool) -> User:
        """A new user; `started` opens the chat with the bot without a message, as if it were long ago."""
        self._telegram.users.add(user)
        self._telegram.chats.add_private(user.id, started)
        self._telegram.live.tell("users")
        return user

    def add_many(self, count: int, *, first_id: int | None, first_name: str, started: bool) -> list[int]:
        """Many users at once, named `first_name` and a number; returns their ids."""
        start = self._telegram.users.draw_ids(count) if first_id is None else first_id
        ids = list(range(start, start + count))
        self._telegram.users.add_many(
            [
                User(user_id, f"{first_name} {n}", None, None, "en", False, False)
                for n, user_id in enumerate(ids, 1)
            ]
        )
        self._telegram.chats.add_private_many(ids, started)
        self._telegram.live.tell("users")
        return ids

    def change(self, user_id: int, changes: dict[str, Any]) -> User:
        user = self._telegram.users.change(user_id, changes)
        self._telegram.live.tell("users")
        return user

    def write(
        self,
        user_id: int,
        chat_id: int,
        text: str,
        *,
        reply_to_message_id: int | None = None,
        thread_id: int | None = None,
        photo: str | None = None,
        video: str | None = None,
        document: str | None = None,
        file_name: str | None = None,
        album: str | None = None,
        location: dict[str, Any] | None = None,
        contact: dict[str, Any] | None = None,
    ) -> tuple[StoredMessage, int | None]:
        """Send a message as a user; returns it and its update's id (None when the bot does not get it).

        thread_id -- the topic; General if it is left out.
        location, contact -- of these a message has nothing else; fields as the Bot API names them.
        album -- the media_group_id that makes it one piece of an album.
        """
        telegram = self._telegram
        user, chat = self._present(user_id, chat_id)
        if chat.type is ChatType.PRIVATE and chat.bot_status is BotStatus.KICKED:
            # The app shows "Restart" to who blocked the bot; writing needs that press first.
            self.unblock(user_id)
        plain, entities = parse_text(text, "", None)
        if len(plain) > TEXT_LENGTH_MAX:
            raise ControlError(400, f"text: at most {TEXT_LENGTH_MAX} characters, got {len(plain)}")
        if location is not None or contact is not None:
            content = {"contact": contact} if location is None else {"location": location}
        else:
            content = self._content(plain, entities, photo, video, document, file_name)
        if chat.bot_status is BotStatus.STRANGER:
            telegram.chats.set_bot_status(chat_id, BotStatus.MEMBER)
            telegram.live.tell("chats", chat_id=chat_id)
        payload: dict[str, Any] = {
            "message_id": telegram.messages.draw_id(),
            "from": user.api(),
            "chat": telegram.chats.api(chat),
            "date": telegram.clock.date(),
            **content,
        }
        if album is not None:
            payload["media_group_id"] = album
        if thread_id is not None:
            payload |= self._in_topic(telegram.topics.require(chat_id, thread_id))
        answered: StoredMessage | None = None
        if reply_to_message_id is not None:
            answered = telegram.messages.get(chat_id, reply_to_message_id)
            if answered is None:
                raise ControlError(404, f"there is no message {reply_to_message_id} in chat {chat_id}")
            payload["reply_to_message"] = {
                key: item for key, item in answered.payload.items() if key != "reply_to_message"
            }
        message = telegram.messages.add(payload, from_bot=False)
        heard = self._is_heard(chat, plain, answered)
        update_id = telegram.updates.add("message", payload, f"chat:{chat_id}") if heard else None
        return message, update_id

    def rewrite(self, user_id: int, chat_id: int, message_id: int, text: str) -> int | None:
        """Edit a message one wrote; returns the update's id."""
        telegram = self._telegram
        _, chat = self._present(user_id, chat_id)
        message = telegram.messages.get(chat_id, message_id)
        if message is None or message.payload["from"]["id"] != user_id or "text" not in message.payload:
            raise ControlError(404, f"user {user_id} wrote no text message {message_id} in chat {chat_id}")
        plain, entities = parse_text(text, "", None)
        payload = {key: item for key, item in message.payload.items() if key not in ("text", "entities")}
        payload |= {"text": plain, "edit_date": telegram.clock.date()}
        if entities:
            payload["entities"] = entities
        telegram.messages.change(message, payload)
        if not self._is_heard(chat, plain, None):
            return None
        return telegram.updates.add("edited_message", payload, f"chat:{chat_id}")

    def create_topic(self, user_id: int, chat_id: int, name: str) -> Topic:
        """Add a topic to a supergroup or a private chat; a service message tells of it."""
        telegram = self._telegram
        user, chat = self._present(user_id, chat_id)
        if chat.type is ChatType.GROUP:
            raise ControlError(409, f"chat {chat_id} is a basic group, which has no topics; upgrade it first")
        thread_id = telegram.messages.draw_id()
        if thread_id == GENERAL_ID:
            thread_id = telegram.messages.draw_id()
        topic = telegram.topics.add(chat_id, thread_id, name)
        payload: dict[str, Any] = {
            "message_id": thread_id,
            "from": user.api(),
            "chat": telegram.chats.api(chat),
            "date": telegram.clock.date(),
            **thread_fields(topic),
            "forum_topic_created": {"name": name, "icon_color": 7322096},
        }
        telegram.messages.add(payload, from_bot=False)
        telegram.updates.add("message", payload, f"chat:{chat_id}")
        telegram.live.tell("chats", chat_id=chat_id)
        return topic

    def close_topic(self, chat_id: int, thread_id: int, *, closed: bool) -> Topic:
        topic = self._telegram.topics.set_closed(self._telegram.topics.require(chat_id, thread_id), closed)
        self._telegram.live.tell("chats", chat_id=chat_id)
        return topic

    def press(
        self,
        user_id: int,
        chat_id: int,
        message_id: int,
        callback_data: str,
        *,
        deliveries: int = 1,
        same_query_id: bool = False,
        force: bool = False,
    ) -> list[tuple[str, int | None]]:
        """Press an inline button; returns (callback query id, update id) of each delivery.

        More than one delivery is an app that sends its press again after reconnecting: every one has its own
        update_id and, unless `same_query_id`, its own callback query id.
        """
        telegram = self._telegram
        user, chat = self._present(user_id, chat_id)
        message = telegram.messages.get(chat_id, message_id)
        if message is None and not force:
            raise ControlError(404, f"there is no message {message_id} in chat {chat_id}")
        if not force and (
            message is None or not find_button(message.payload.get("reply_markup"), callback_data)
        ):
            raise ControlError(409, GONE)
        # A message the bot cannot see any more comes as an InaccessibleMessage, whose date is 0.
        shown = (
            message.payload
            if message is not None
            else {"chat": telegram.chats.api(chat), "message_id": message_id, "date": 0}
        )
        pressed: list[tuple[str, int | None]] = []
        for _ in range(deliveries):
            if not pressed or not same_query_id:
                query_id = telegram.callback_queries.add(
                    user_id=user_id, chat_id=chat_id, message_id=message_id, data=callback_data
                )
            query = {
                "id": query_id,
                "from": user.api(),
                "message": shown,
                "chat_instance": str(abs(hash((telegram.bot.id, chat_id)))),
                "data": callback_data,
            }
            pressed.append((query_id, telegram.updates.add("callback_query", query, f"user:{user_id}")))
        return pressed

    def check_out(
        self, user_id: int, *, currency: str, total_amount: int, payload: str
    ) -> tuple[str, int | None]:
        """Press Pay on an invoice; returns (pre-checkout query id, update id)."""
        telegram = self._telegram
        query_id = telegram.checkouts.add(
            user_id=user_id, currency=currency, total_amount=total_amount, payload=payload
        )
        query = {
            "id": query_id,
            "from": telegram.users.require(user_id).api(),
            "currency": currency,
            "total_amount": total_amount,
            "invoice_payload": payload,
        }
        return query_id, telegram.updates.add("pre_checkout_query", query, f"user:{user_id}")

    def pay(
        self,
        user_id: int,
        *,
        currency: str,
        total_amount: int,
        payload: str,
        charge_id: str,
        is_refund: bool,
        is_lost: bool,
    ) -> tuple[StoredMessage, int | None]:
        """Money has moved: the service message that says so, and its update's id."""
        self.visit(user_id)
        return tell_of_payment(
            self._telegram,
            user_id,
            currency=currency,
            total_amount=total_amount,
            payload=payload,
            charge_id=charge_id,
            is_refund=is_refund,
            is_lost=is_lost,
        )

    def visit(self, user_id: int) -> None:
        """They are in their private chat with the bot."""
        self._present(user_id, user_id)

    def block(self, user_id: int) -> int | None:
        return self._set_private_status(user_id, BotStatus.KICKED)

    def unblock(self, user_id: int) -> int | None:
        return self._set_private_status(user_id, BotStatus.MEMBER)

    def create_group(
        self, title: str, member_ids: list[int], *, kind: ChatType, chat_id: int | None
    ) -> tuple[Chat, int | None]:
        """A group with the bot in it, put there by its first member."""
        telegram = self._telegram
        if not member_ids:
            raise ControlError(400, "member_ids: a group needs at least one member, who adds the bot")
        actor = telegram.users.require(member_ids[0])
        chat = telegram.chats.add_group(chat_id, kind, title, member_ids)
        update_id = self._tell_membership(chat, actor, BotStatus.LEFT, BotStatus.MEMBER)
        telegram.live.tell("chats", chat_id=chat.id)
        return chat, update_id

    def set_group_status(self, user_id: int, chat_id: int, status: BotStatus) -> int | None:
        """Remove the bot from a group, or take it back."""
        telegram = self._telegram
        user, chat = self._present(user_id, chat_id)
        if chat.type is ChatType.PRIVATE:
            raise ControlError(400, f"chat {chat_id} is private; block and unblock are for that")
        telegram.chats.set_bot_status(chat_id, status)
        telegram.live.tell("chats", chat_id=chat_id)
        return self._tell_membership(chat, user, chat.bot_status, status)

    def upgrade_group(self, chat_id: int) -> Chat:
        """Make a group a supergroup: a new id, and two service messages that say so."""
        telegram = self._telegram
        chat = telegram.chats.require(chat_id)
        if chat.type is not ChatType.GROUP or chat.migrated_to is not None:
            raise ControlError(409, f"chat {chat_id} is no group that could become a supergroup")
        members = telegram.chats.member_ids(chat_id)
        new = telegram.chats.add_group(None, ChatType.SUPERGROUP, chat.title or "", members)
        telegram.chats.set_migrated(chat_id, new.id)
        sender = telegram.users.require(members[0]).api()
        for where, field, other in (
            (chat, "migrate_to_chat_id", new.id),
            (new, "migrate_from_chat_id", chat.id),
        ):
            payload = {
                "message_id": telegram.messages.draw_id(),
                "from": sender,
                "chat": telegram.chats.api(where),
                "date": telegram.clock.date(),
                field: other,
            }
            telegram.messages.add(payload, from_bot=False)
            telegram.updates.add("message", payload, f"chat:{where.id}")
        telegram.live.tell("chats", chat_id=new.id)
        return new

    def _in_topic(self, topic: Topic) -> dict[str, Any]:
        """Of a message in a topic that answers nothing, Telegram says that it answers the topic's first message."""
        fields = thread_fields(topic)
        first = self._telegram.messages.get(topic.chat_id, topic.thread_id)
        return fields if first is None else {**fields, "reply_to_message": first.payload}

    def _present(self, user_id: int, chat_id: int) -> tuple[User, Chat]:
        user = self._telegram.users.require(user_id)
        chat = self._telegram.chats.require(chat_id)
        if user.deactivated:
            raise ControlError(409, f"user {user_id} is deactivated")
        if not self._telegram.chats.is_in(chat, user_id):
            raise ControlError(403, f"user {user_id} is not in chat {chat_id}")
        return user, chat

    def _set_private_status(self, user_id: int, status: BotStatus) -> int | None:
        user, chat = self._present(user_id, user_id)
        if chat.bot_status is status:
            return None
        self._telegram.chats.set_bot_status(user_id, status)
        self._telegram.live.tell("chats", chat_id=user_id)
        return self._tell_membership(chat, user, chat.bot_status, status)

    def _tell_membership(self, chat: Chat, actor: User, before: BotStatus, after: BotStatus) -> int | None:
        telegram = self._telegram
        content = {
            "chat": telegram.chats.api(replace(chat, bot_status=after)),
            "from": actor.api(),
            "date": telegram.clock.date(),
            "old_chat_member": _member(telegram.bot.api(), before),
            "new_chat_member": _member(telegram.bot.api(), after),
        }
        return telegram.updates.add("my_chat_member", content, f"member:{chat.id}")

    def _is_heard(self, chat: Chat, text: str, answered: StoredMessage | None) -> bool:
        """In groups a bot in privacy mode gets commands, mentions and replies to its own messages only."""
        if chat.type is ChatType.PRIVATE:
            return True
        if chat.bot_status is not BotStatus.MEMBER:
            return False
        if answered is not None and answered.from_bot:
            return True
        me = re.escape(self._telegram.bot.username)
        return bool(
            re.search(rf"(?i)@{me}\b", text) or re.match(rf"(?i)/[a-z0-9_]+(@{me}\b|(?![@\w]))", text)
        )

    def _content(
        self,
        text: str,
        entities: list[dict[str, Any]],
        photo: str | None,
        moving: str | None,
        attached: str | None,
        file_name: str | None,
    ) -> dict[str, Any]:
        files = self._telegram.files
        source = next((each for each in (photo, moving, attached) if each is not None), None)
        if source is None:
            if not text:
                raise ControlError(400, "text: a message needs a text, a photo, a video or a document")
            return {"text": text, "entities": entities} if entities else {"text": text}
        try:
            content = base64.b64decode(source, validate=True)
        except binascii.Error:
            raise ControlError(400, "photo, video, document: expected base64") from None
        size = image_size(content)
        caption: dict[str, Any] = {"caption": text} if text else {}
        if text and entities:
            caption["caption_entities"] = entities
        if photo is None and moving is not None:
            file = files.add(content, name=file_name or "video.mp4", mime_type="video/mp4")
            return {"video": video(file), **caption}
        if photo is None:
            file = files.add(content, name=file_name or "file", mime_type="application/octet-stream")
            return {"document": document(file), **caption}
        if size is None:
            raise ControlError(400, "photo: expected a PNG, GIF or JPEG")
        picture = files.add(content, name=None, mime_type=image_type(content), width=size[0], height=size[1])
        return {"photo": [photo_size(picture)], **caption}


def _member(user: dict[str, Any], status: BotStatus) -> dict[str, Any]:
    """A ChatMember. Someone who never started the bot counts as having left it."""
    shown = BotStatus.LEFT if status is BotStatus.STRANGER else status
    member: dict[str, Any] = {"user": user, "status": str(shown)}
    if shown is BotStatus.KICKED:
        member["until_date"] = 0
    return member
