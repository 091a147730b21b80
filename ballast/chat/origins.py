"""Where a command or a press came from, and where its answer goes: what is private goes to the private chat.

A group sees that its command was answered, and has a button that opens the private chat. What the whole group may read
quotes the command, in the command's topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ballast.messages import Button, Message
from ballast.replies import Reply
from ballast.texts import gettext


def answered_in_private() -> str:
    return gettext("I answered you in our private chat.")


def private_chat_closed() -> str:
    return gettext("I cannot write to you yet. Press the button below, then Start, and I can.")


def perhaps_answered_in_private() -> str:
    return gettext(
        "Look for my answer in our private chat. If it is not there, press the button below, then Start."
    )


@dataclass(frozen=True)
class Origin:
    """
    chat_id -- where it was written or pressed.
    asker_id -- who did it; None if nobody did, or an older release recorded it.
    command_id -- the message that is the command; None for a press.
    thread_id -- the topic.
    """

    chat_id: int
    asker_id: int | None = None
    command_id: int | None = None
    thread_id: int | None = None

    @property
    def is_group(self) -> bool:
        return self.chat_id < 0 and self.asker_id is not None

    def publicly(
        self,
        text: str,
        buttons: Sequence[Sequence[Button]] = (),
        *,
        edit_message_id: int | None = None,
        asks: bool = False,
    ) -> Message:
        """What everybody there may read.

        asks -- its answer is expected as a reply. Only needed in groups, where the bot may see nothing else.
        """
        return Message(
            chat_id=self.chat_id,
            text=text,
            buttons=tuple(tuple(row) for row in buttons),
            edit_message_id=edit_message_id,
            quotes=self.command_id if self.is_group else None,
            thread_id=self.thread_id,
            asks=asks and self.is_group,
            private_chat_id=self.asker_id if self.is_group else None,
        )

    def privately(
        self,
        text: str,
        buttons: Sequence[Sequence[Button]] = (),
        *,
        edit_message_id: int | None = None,
        picture: str | None = None,
        opens: str = "start",
    ) -> list[Message]:
        """What only the asker may read. From a group it goes to the private chat, and the group is told so.

        edit_message_id -- of the chat that it came from; a group's message is not edited.
        opens -- what /start is sent with if the private chat was never started.
        """
        if not self.is_group:
            message = self.publicly(text, buttons, edit_message_id=edit_message_id)
            return [message.model_copy(update={"picture": picture})]
        assert self.asker_id is not None  # noqa: S101  a group's origin has one
        answer = Message(
            chat_id=self.asker_id,
            text=text,
            buttons=tuple(tuple(row) for row in buttons),
            picture=picture,
        )
        line = self.publicly(answered_in_private())
        return [answer, line.model_copy(update={"opens": opens, "private_chat_id": None})]


def messages_of(
    reply: Reply,
    origin: Origin | None,
    buttons: Sequence[Sequence[Button]] = (),
    *,
    pressed_message_id: int | None = None,
) -> list[Message]:
    """What an app's handler said, as messages. Empty if nobody waits for it.

    pressed_message_id -- the message whose button is answered.
    """
    if reply.to is not None:
        return [Message(chat_id=reply.to, text=reply.markup, buttons=tuple(tuple(row) for row in buttons))]
    if origin is None:
        return []
    edited = pressed_message_id if reply.edit else None
    if reply.public:
        return [origin.publicly(reply.markup, buttons, edit_message_id=edited)]
    return origin.privately(reply.markup, buttons, edit_message_id=edited)
