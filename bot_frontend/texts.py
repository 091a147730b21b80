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
    f"Reply {called('broadcast')} to any message in this chat to send a copy of it. Or write a text, formatted in the "
    f"app or as Telegram HTML: {called('broadcast')} <code>&lt;b&gt;News!&lt;/b&gt; …</code> You will see a preview. "
    "Nothing is sent until you confirm."
)
BROADCASTS_IN_PRIVATE = "Broadcasts can only be created in our private chat."
ADMINS_ONLY = "Only admins can do that, in their private chat with me."
SEND_USAGE = (
    f"Write it like this: {called('send')} @name 5.50 for lunch. Or reply to one of their messages: "
    f"{called('send')} 5.50"
)
ASK_RECIPIENT = f"Who do you want to send money to? Reply with their @name or numeric ID.{LEAVE}"
MENTIONS_A_BOT = "That is a bot, and bots have no balance here. Name a person instead."
REPLY_NAMES_NOBODY = (
    "I cannot tell who you mean: the message you replied to was forwarded, or written by a bot, a channel or an "
    "anonymous admin. Use their @name or numeric ID instead."
)
NOT_YOUR_WORDS = (
    "This message was forwarded or written through another bot, so I did not run it, and no money was moved. "
    "If you want this, write it yourself."
)
NOT_AS_A_CHAT = (
    "I cannot tell who you are because you are writing anonymously or as a channel. No money was moved. "
    "Send the command from your own account, or in our private chat."
)
MEMO_TOO_LONG = f"The memo is too long: at most {MEMO_LENGTH_MAX} characters."
LEFT_SEND = "Cancelled. No money was sent."
LEFT_QUESTION = "Cancelled."
"""Of an app or of a broadcast's card."""
NOT_A_COMMAND = f"Sorry, I only understand commands.{mention('help', ' Send {} to see them.')}"
NO_TEXT = "I expected a text message."
FORWARDED_POST = (
    mention("broadcast", "To send this message to many people, reply to it with {}.") or NOT_A_COMMAND
)
NOT_YOUR_TRANSFER = "This transfer belongs to somebody else. No money was sent."
NOT_YOUR_ADJUSTMENT = "This belongs to another admin. Nothing was changed."
CHECKOUT_REFUSED = "This bot does not accept payments yet. You have not been charged."
TOO_MANY_WAITING = (
    "You already have too many commands waiting, so I did not accept this one. Please try again later."
)
TOO_MANY_IN_ALL = (
    "I am too busy right now, so I did not do this and no money was moved. Please try again later."
)


def help_text(is_admin: bool) -> str:
    commands = (*COMMANDS, *(ADMIN_COMMANDS if is_admin else ()))
    return "\n".join(f"/{name} – {escape(description)}" for name, description in commands)


def ask_amount(recipient: str) -> str:
    whom = f"the user with ID {recipient}" if recipient.isdecimal() else escape(recipient)
    return f"How much do you want to send to {whom}? For example 5.50.{LEAVE}"


def two_people(named: str) -> str:
    return (
        f"Did you mean {named} or the person you replied to? No money was moved. Write {named} before the amount, or "
        "reply without another name."
    )


def only_your_own(command: str, is_admin: bool) -> str:
    """For what is given to a command that answers about its sender alone."""
    if is_admin:
        return f"/{command} cannot look up other users yet. It only works for your own account: send just /{command}."
    return f"/{command} only works for your own account. Send just /{command}, without a name."


def unknown_command(name: str) -> str:
    return f"I do not know /{escape(name[:40])}.{mention('help', ' Send {} to see the commands.')}"


def adjust_usage(name: str) -> str:
    return f"Write it like this: /{name} @name 5.50 [reason]"
