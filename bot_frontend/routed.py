"""What is to be done about an update, and the answers that the frontend gives by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ballast.arguments import ArgumentsRefused
from ballast.builtin.replies import DeliverReply
from ballast.chat.origins import Origin
from ballast.jobs import Job
from ballast.messages import Button
from bot_frontend import texts
from bot_frontend.conversation import Conversation, Question
from bot_frontend.updates import ButtonPress, Sender, TextMessage


@dataclass(frozen=True)
class Routed:
    """The job to be done, and where the conversation stands after it; None for no conversation."""

    job: Job
    conversation: Conversation | None = None


def say(message: TextMessage, text: str, conversation: Conversation | None = None) -> Routed:
    """What everybody in the chat may read."""
    return Routed(reply(message.origin, text), conversation)


def say_privately(
    message: TextMessage, text: str, buttons: Sequence[Sequence[Button]] = (), *, opens: str = "start"
) -> Routed:
    return Routed(DeliverReply(messages=tuple(message.origin.privately(text, buttons, opens=opens))))


def ask(message: TextMessage, question: Question) -> Routed:
    """In a group the question is shown as one to be replied to, for the bot may see nothing else there."""
    origin = message.origin
    asked = DeliverReply(messages=(origin.publicly(question.text, asks=True),))
    return Routed(asked, question.conversation.model_copy(update={"command_id": origin.command_id}))


def toast(press: ButtonPress, text: str, conversation: Conversation | None) -> Routed:
    """What only the presser needs to know, and only now: it is shown, and no message is sent."""
    message = press.origin.publicly(text)
    shown = message.model_copy(update={"toast": press.callback_id, "matters": False})
    return Routed(DeliverReply(messages=(shown,)), conversation)


def reply(origin: Origin, text: str) -> DeliverReply:
    return DeliverReply(messages=(origin.publicly(text),))


def who(sender: Sender) -> dict[str, Any]:
    return {
        "telegram_id": sender.telegram_id,
        "username": sender.username,
        "first_name": sender.first_name,
        "language_code": sender.language_code,
    }


def written(message: TextMessage) -> str:
    """What somebody answered. Raises ArgumentsRefused for a photo and the like, which is not the empty text."""
    words = message.text.strip()
    if not words:
        raise ArgumentsRefused(texts.no_text())
    return words
