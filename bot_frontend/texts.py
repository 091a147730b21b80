"""What the frontend itself says: help, questions, corrections. Telegram's HTML; what people wrote is escaped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from ballast.apps.command_names import called, joined, leave, mention
from ballast.apps.installed import INSTALLED
from ballast.apps.registered import Command
from ballast.builtin import button_data
from ballast.builtin.jobs import MEMO_LENGTH_MAX
from ballast.builtin.replies import PAYMENT_COMMANDS
from ballast.messages import Button
from ballast.operators.permissions import ALL, Permission, may, of_role
from ballast.texts import available, gettext, ngettext, of_any_app, own_name, time_zones
from ballast.texts.phrases import quoted
from dbcore.currencies import Currencies
from dbcore.roles import Role
from dbcore.settings import Settings

EXAMPLE_AMOUNT = "5.50"


def _names(needs: Collection[Permission | None]) -> tuple[str, ...]:
    """Built-in commands that no app replaces, then those of apps."""
    return tuple(
        name
        for name, command in INSTALLED.commands.items()
        if command.needs in needs and name not in INSTALLED.left_to_handlers
    )


PUBLIC_COMMANDS = (
    *_names({None}),
    *(name for name, command in INSTALLED.handled_commands.items() if command.help is not None),
)


ADMIN_COMMANDS = _names(ALL)
COMMANDS: Mapping[Role | None, tuple[str, ...]] = {
    None: PUBLIC_COMMANDS,
    **{role: (*PUBLIC_COMMANDS, *_names(of_role(role))) for role in Role},
}
"""All that somebody of a role can give; None: what everybody can."""


def menu(
    role: Role | None = None,
    *,
    payments: bool = True,
    refunds: bool = True,
    withdrawals: bool = True,
    subscriptions: bool = True,
    exchange: bool = True,
) -> list[tuple[str, str]]:
    """Each command of everybody's menu, or of an operator's, and its line.

    payments -- whether the bot takes them: else what is only for payments is left out. refunds -- whether payers can
    refund a payment themselves: else only the menu of who may refund others' says how.
    withdrawals, subscriptions -- whether there are any. exchange -- whether there are several currencies.
    """
    names = COMMANDS[role]
    hidden = frozenset() if payments else PAYMENT_COMMANDS
    if not withdrawals:
        hidden |= {"withdraw", "withdrawals"}
    if not subscriptions:
        hidden |= {"subscribe", "subscription"}
    if not exchange:
        hidden |= {"exchange"}
    if not (refunds or may(role, Permission.REFUND)):
        hidden |= {"refund"}
    return [(name, _line(name)) for name in names if _word_of(name) not in hidden]


def _word_of(name: str) -> str | None:
    """Ballast's own word for a command of its own."""
    command = INSTALLED.commands.get(name)
    return None if command is None or command.declared is None else command.declared.word


def _line(name: str) -> str:
    handled = INSTALLED.handled_commands.get(name)
    command = INSTALLED.commands.get(name)
    if command is None or name in INSTALLED.left_to_handlers:
        assert handled is not None and handled.help is not None  # noqa: S101  or it has no line
        return of_any_app(handled.help)
    return of_any_app(command.help) if command.declared is None else _of_built_in(command)


def _of_built_in(command: Command) -> str:
    assert command.declared is not None  # noqa: S101
    own = command.declared.help
    if command.help != own.replace("{name}", command.name):
        return of_any_app(command.help)  # an app's words
    return gettext(own).replace("{name}", command.name)


def broadcast_usage() -> str:
    return gettext(
        "Reply {command} to any message in this chat to send a copy of it. Or write a text, formatted in the app or "
        "as Telegram HTML: {example} You will see a preview. Nothing is sent until you confirm.",
        command=called("broadcast"),
        example=f"{called('broadcast')} <code>&lt;b&gt;News!&lt;/b&gt; …</code>",
    )


def broadcasts_in_private() -> str:
    return gettext("Broadcasts can only be created in our private chat.")


def nobody_can_sign_in() -> str:
    return gettext("Nobody can sign in to the operators' page: OPS_TOKEN is not set.")


def admins_only() -> str:
    return gettext("Only admins can do that, in their private chat with me.")


def send_usage() -> str:
    return gettext(
        "Write it like this: {example}. Or reply to one of their messages: {shorter}",
        example=gettext("{command} @name 5.50 for lunch", command=called("send")),
        shorter=f"{called('send')} {EXAMPLE_AMOUNT}",
    )


def ask_recipient() -> str:
    return gettext("Who do you want to send money to? Reply with their @name or numeric ID.") + leave()


def mentions_a_bot() -> str:
    return gettext("That is a bot, and bots have no balance here. Name a person instead.")


def reply_names_nobody() -> str:
    return gettext(
        "I cannot tell who you mean: the message you replied to was forwarded, or written by a bot, a channel or an "
        "anonymous admin. Use their @name or numeric ID instead."
    )


def not_your_words() -> str:
    return gettext(
        "This message was forwarded or written through another bot, so I did not run it, and no money was moved. "
        "If you want this, write it yourself."
    )


def not_as_a_chat() -> str:
    return gettext(
        "I cannot tell who you are because you are writing anonymously or as a channel. No money was moved. "
        "Send the command from your own account, or in our private chat."
    )


def memo_too_long() -> str:
    return ngettext(
        "The memo is too long: at most {count} character.",
        "The memo is too long: at most {count} characters.",
        MEMO_LENGTH_MAX,
    )


def left_send() -> str:
    return gettext("Cancelled. No money was sent.")


def left_question() -> str:
    """Of an app or of a broadcast's card."""
    return gettext("Cancelled.")


def not_a_command() -> str:
    return joined(
        gettext("Sorry, I only understand commands."), mention("help", "Send {command} to see them.")
    )


def no_text() -> str:
    return gettext("I expected a text message.")


def forwarded_post() -> str:
    return (
        mention("broadcast", "To send this message to many people, reply to it with {command}.")
        or not_a_command()
    )


def not_your_transfer() -> str:
    return gettext("This transfer belongs to somebody else. No money was sent.")


def not_your_buttons() -> str:
    return gettext("These buttons belong to somebody else.")


def not_your_adjustment() -> str:
    return gettext("This belongs to another admin. Nothing was changed.")


def too_many_waiting() -> str:
    return gettext(
        "You already have too many commands waiting, so I did not accept this one. Please try again later."
    )


def too_many_in_all() -> str:
    return gettext(
        "I am too busy right now, so I did not do this and no money was moved. Please try again later."
    )


def ask_language() -> str:
    return gettext("Which language do you want me to write in?")


def language_buttons(owner_id: int) -> list[list[Button]]:
    """Each language by its own name, two in a row, and Telegram's."""
    if not INSTALLED.has_button("language"):
        return []
    buttons = [
        Button(text=own_name(language), data=button_data.language(owner_id, language))
        for language in available()
    ]
    rows = [buttons[first : first + 2] for first in range(0, len(buttons), 2)]
    as_in_telegram = Button(text=gettext("As in Telegram"), data=button_data.language(owner_id, None))
    return [*rows, [as_in_telegram]]


def ask_time_zone() -> str:
    return gettext(
        "Which time zone are you in? Choose a city whose clocks show your time, or send me one, for example {example}.",
        example=f"<code>{called('timezone')} Lisbon</code>",
    )


def which_time_zone(named: str) -> str:
    return gettext("Several time zones match {name}. Which one do you mean?", name=quoted(named, 40))


def unknown_time_zone(named: str) -> str:
    return gettext(
        "I do not know the time zone {name}. Choose a city whose clocks show your time, or send me a large city "
        "nearby, for example {example}.",
        name=quoted(named, 40),
        example=f"<code>{called('timezone')} Lisbon</code>",
    )


def time_zone_buttons(
    owner_id: int, found: Sequence[str], now: datetime, settings: Settings
) -> list[list[Button]]:
    """Those that were found; else a short list by what clocks show now, two in a row, and that of TIMEZONE."""
    if not INSTALLED.has_button("timezone"):
        return []
    if found:
        return [[Button(text=zone, data=button_data.time_zone(owner_id, zone))] for zone in found]
    buttons = [
        Button(
            text=f"{now.astimezone(ZoneInfo(zone)):%H:%M} {time_zones.city(zone)}",
            data=button_data.time_zone(owner_id, zone),
        )
        for zone in time_zones.offered(now)
    ]
    rows = [buttons[first : first + 2] for first in range(0, len(buttons), 2)]
    usual = gettext("Default: {zone}", zone=settings.timezone)
    return [*rows, [Button(text=usual, data=button_data.time_zone(owner_id, None))]]


def refund_usage() -> str:
    return gettext(
        "Write the receipt number or the charge ID of the payment, such as {example}.",
        example=f"{called('refund')} 17",
    )


def ask_support_for_refunds() -> str:
    return joined(
        gettext("I cannot refund payments myself."), mention("paysupport", "{command} tells you whom to ask.")
    )


def help_text(
    role: Role | None = None,
    *,
    payments: bool = True,
    refunds: bool = True,
    withdrawals: bool = True,
    subscriptions: bool = True,
    exchange: bool = True,
) -> str:
    return "\n".join(
        gettext("{command} – {line}", command=f"/{name}", line=escape(line))
        for name, line in menu(
            role,
            payments=payments,
            refunds=refunds,
            withdrawals=withdrawals,
            subscriptions=subscriptions,
            exchange=exchange,
        )
    )


def ask_amount(recipient: str) -> str:
    if recipient.isdecimal():
        asked = gettext(
            "How much do you want to send to the user with ID {id}? For example {example}.",
            id=recipient,
            example=EXAMPLE_AMOUNT,
        )
    else:
        asked = gettext(
            "How much do you want to send to {name}? For example {example}.",
            name=escape(recipient),
            example=EXAMPLE_AMOUNT,
        )
    return asked + leave()


def two_people(named: str) -> str:
    return gettext(
        "Did you mean {name} or the person you replied to? No money was moved. Write {name} before the amount, or "
        "reply without another name.",
        name=named,
    )


def history_usage(command: str, currencies: Currencies) -> str:
    """For what names no currency."""
    return gettext(
        "{command} shows your own transactions in one currency. Send {command}, or {command} with one of {currencies}.",
        command=f"/{command}",
        currencies=str(currencies),
    )


def only_your_own(command: str, is_admin: bool) -> str:
    """For what is given to a command that answers about its sender alone."""
    if is_admin:
        return gettext(
            "{command} cannot look up other users yet. It only works for your own account: send just {command}.",
            command=f"/{command}",
        )
    return gettext(
        "{command} only works for your own account. Send just {command}, without a name.",
        command=f"/{command}",
    )


def unknown_command(name: str) -> str:
    return joined(
        gettext("I do not know {command}.", command=f"/{escape(name[:40])}"),
        mention("help", "Send {command} to see the commands."),
    )


def adjust_usage(name: str) -> str:
    return gettext(
        "Write it like this: {example}", example=gettext("{command} @name 5.50 [reason]", command=f"/{name}")
    )


def role_usage(name: str) -> str:
    return gettext(
        "Write it like this: {example}. Roles are {roles}; {nothing} takes a role away.",
        example=gettext("{command} @name support", command=f"/{name}"),
        roles=", ".join(Role),
        nothing="<code>none</code>",
    )


def user_usage(name: str) -> str:
    return gettext("Write it like this: {example}", example=gettext("{command} @name", command=f"/{name}"))
