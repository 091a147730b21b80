"""What the frontend itself says: help, questions, corrections. Telegram's HTML; what people wrote is escaped."""

from __future__ import annotations

from html import escape

from workers.command_names import LEAVE, called, mention
from workers.jobs import INSTALLED, MEMO_LENGTH_MAX


def _menu(*, admin: bool) -> tuple[tuple[str, str], ...]:
    """Built-in commands that no app replaces, then those of apps."""
    commands = tuple(
        (name, command.help)
        for name, command in INSTALLED.commands.items()
        if command.admin is admin and name not in INSTALLED.left_to_handlers
    )
    handled = tuple(
        (name, command.help)
        for name, command in INSTALLED.handled_commands.items()
        if command.help is not None and not admin
    )
    return commands + handled


COMMANDS = _menu(admin=False)
ADMIN_COMMANDS = _menu(admin=True)

BROADCAST_USAGE = (
    f"Reply {called('broadcast')} to any message of this chat to send a copy of it. Or write a text, formatted in the "
    f"app or in Telegram's HTML: {called('broadcast')} <code>&lt;b&gt;News!&lt;/b&gt; …</code> You see it first. "
    "Nothing is sent before you confirm."
)
BROADCASTS_IN_PRIVATE = "Broadcasts are drawn up in my private chat with you."
ADMINS_ONLY = "That is for admins, in their own chat with me."
SEND_USAGE = (
    f"Write it like this: {called('send')} @name 5.50 for lunch. Or reply to a message of theirs: "
    f"{called('send')} 5.50"
)
ASK_RECIPIENT = f"Whom do you want to send to? Give me their @name or numeric id.{LEAVE}"
MENTIONS_A_BOT = "That is a bot, and bots have no balance here. Name a person instead."
REPLY_NAMES_NOBODY = (
    "I cannot tell whom you mean: the message you replied to was forwarded, or a bot, a channel or an anonymous admin "
    "wrote it. Name the person by @name or numeric id instead."
)
NOT_YOUR_WORDS = (
    "This message was forwarded or written through another bot, so I did not run it, and no money was moved. "
    "If you want this, write it yourself."
)
NOT_AS_A_CHAT = (
    "I cannot tell who you are, because you write anonymously or as a channel. No money was moved. "
    "Send the command from your own account, or in a private chat with me."
)
MEMO_TOO_LONG = f"The memo is too long: at most {MEMO_LENGTH_MAX} characters."
LEFT_DIALOGUE = "Cancelled. No money was moved."
NOT_A_COMMAND = f"I understand commands alone.{mention('help', ' {} lists them.')}"
NO_TEXT = "I expected a text message."
FORWARDED_POST = (
    mention("broadcast", "To send this message to many people, reply to it with {}.") or NOT_A_COMMAND
)
NOT_YOUR_HISTORY = f"These buttons belong to somebody else.{mention('history', ' Send {} to see your own.')}"
NOT_YOUR_TRANSFER = "This transfer belongs to somebody else. Nothing was moved."
NOT_YOUR_ADJUSTMENT = "This belongs to another admin. Nothing was changed."
CHECKOUT_REFUSED = "This bot does not accept payments yet. You have not been charged."
UNKNOWN_BUTTON = "I do not know this button any more. Please start again."
TOO_MANY_WAITING = "You have too many commands waiting already. This one was not taken; try again in a while."
TOO_MANY_IN_ALL = (
    "I am too busy right now, so I did not do this and no money was moved. Please try again later."
)


def help_text(is_admin: bool) -> str:
    commands = (*COMMANDS, *(ADMIN_COMMANDS if is_admin else ()))
    return "\n".join(f"/{name} – {escape(description)}" for name, description in commands)


def ask_amount(recipient: str) -> str:
    whom = f"the user with id {recipient}" if recipient.isdecimal() else escape(recipient)
    return f"How much do you want to send to {whom}? For example 5.50.{LEAVE}"


def two_people(named: str) -> str:
    return (
        f"Did you mean {named} or the person you replied to? No money was moved. Write {named} before the amount, or "
        "reply without another name."
    )


def only_your_own(command: str, is_admin: bool) -> str:
    """For what is given to a command that answers about its sender alone."""
    if is_admin:
        return f"/{command} cannot look up other users yet. It works for your own account only: send /{command} alone."
    return f"/{command} works for your own account only. Send /{command} alone, without a name."


def unknown_command(name: str) -> str:
    return f"I do not know /{escape(name[:40])}.{mention('help', ' {} lists the commands.')}"


def adjust_usage(name: str) -> str:
    return f"It goes like this: /{name} @name 5.50 [reason]"
