"""What the frontend itself says: help, questions, corrections. Telegram's HTML; what people wrote is escaped."""

from __future__ import annotations

from datetime import datetime
from html import escape

from workers.jobs import MEMO_LENGTH_MAX

COMMANDS = (
    ("start", "Register, or say hello again"),
    ("balance", "Show your balance"),
    ("send", "Send money: /send @name 5.50 [memo]"),
    ("history", "Show what happened on your account"),
    ("stop", "Get no broadcasts any more; all else goes on"),
    ("resume", "Get broadcasts again"),
    ("cancel", "Leave what I am asking you"),
    ("help", "Explain the commands"),
)

ADMIN_COMMANDS = (
    ("credit", "Credit a user: /credit @name 5.50 [reason]"),
    ("debit", "Debit a user: /debit @name 5.50 [reason]"),
    ("broadcast", "Write to many: /broadcast text, or as a reply to any message"),
    ("broadcasts", "Show the newest broadcasts"),
    ("dbstatus", "Show how the database, the queue and the workers are"),
)

BROADCAST_USAGE = (
    "It goes like this: reply /broadcast to any message of this chat, and it is copied just as it is. Or give a "
    "text in Telegram's HTML: /broadcast <code>&lt;b&gt;News!&lt;/b&gt; …</code> You see it first, and nothing is sent "
    "before you confirm."
)
BROADCASTS_IN_PRIVATE = "Broadcasts are drawn up in my private chat with you."
ADMINS_ONLY = "That is for admins, in their own chat with me."
SEND_USAGE = "It goes like this: /send @name 5.50 for lunch"
ASK_RECIPIENT = "Whom do you want to send to? Give me their @name or numeric id. /cancel leaves."
MEMO_TOO_LONG = f"The memo is too long: at most {MEMO_LENGTH_MAX} characters."
LEFT_DIALOGUE = "Left. Nothing was moved."
NOTHING_TO_CANCEL = (
    "I am asking you nothing, so there is nothing to cancel. "
    "A transfer that waits for your Confirm is left by the Cancel button under it."
)
NOT_A_COMMAND = "I understand commands alone. /help lists them."
CHECKOUT_REFUSED = "This bot does not accept payments yet. You have not been charged."
UNKNOWN_BUTTON = "I do not know this button any more. Please start again."
TOO_MANY_WAITING = "You have too many commands waiting already. This one was not taken; try again in a while."
TOO_MANY_IN_ALL = "Too many commands are waiting for the database. This one was not taken; try again later."


def last_known_balance(money: str, seen_at: datetime) -> str:
    return (
        f"Your last known balance is <b>{escape(money)}</b>, as of {seen_at:%Y-%m-%d %H:%M} UTC. "
        "The database is away, so I cannot look again right now."
    )


def help_text(is_admin: bool) -> str:
    commands = (*COMMANDS, *(ADMIN_COMMANDS if is_admin else ()))
    return "\n".join(f"/{name} – {escape(description)}" for name, description in commands)


def ask_amount(recipient: str) -> str:
    return f"How much do you want to send to {escape(recipient)}? For example 5.50. /cancel leaves."


def unknown_command(name: str) -> str:
    return f"I do not know /{escape(name[:40])}. /help lists the commands."


def adjust_usage(name: str) -> str:
    return f"It goes like this: /{name} @name 5.50 [reason]"
