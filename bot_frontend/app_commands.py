"""A command of an app: its job, from the words behind it, or the question for an argument that is missing. Pure."""

from __future__ import annotations

from html import escape

from pydantic import BaseModel

from ballast.apps.command_names import leave
from ballast.apps.installed import INSTALLED
from ballast.apps.registered import Command
from ballast.arguments import ArgumentsMissing, ArgumentsRefused, parse, question, read
from ballast.operators.permissions import may
from ballast.queueing.kinds import JOB_TYPES
from bot_frontend.conversation import CommandQuestion, Conversation, Question
from bot_frontend.routed import Routed, ask, say_privately, who, written
from bot_frontend.updates import TextMessage
from dbcore.settings import Settings


def typed(command: Command, said: str, message: TextMessage, settings: Settings) -> Routed:
    """said -- all that stands behind the command."""
    if command.arguments is None:
        return _ordered(command, None, message)
    try:
        arguments = parse(
            command.name,
            command.arguments,
            said,
            exponent=settings.currency_exponent,
            currency=settings.currency,
        )
    except ArgumentsMissing as missing:
        return _ask_argument(command, missing.asks, missing.given, message)
    except ArgumentsRefused as refused:
        return say_privately(message, escape(str(refused), quote=False))
    return _ordered(command, arguments, message)


def answered(message: TextMessage, asked: CommandQuestion, settings: Settings) -> Routed | None:
    """The answer to what a command asked. A wrong one is corrected and asked again. None if this release has no such
    question for this person: another one asked.
    """
    command = INSTALLED.commands.get(asked.command)
    if command is None or command.arguments is None or asked.asks not in command.arguments.model_fields:
        return None
    if command.needs is not None and not may(settings.role_of(message.sender.telegram_id), command.needs):
        return None
    given = asked.given
    try:
        given = {**given, asked.asks: written(message)}
        arguments = read(
            command.arguments, given, exponent=settings.currency_exponent, currency=settings.currency
        )
    except ArgumentsMissing as missing:
        return _ask_argument(command, missing.asks, given, message)
    except ArgumentsRefused as refused:
        return _ask_argument(command, asked.asks, asked.given, message, f"{refused} ")
    return _ordered(command, arguments, message)


def _ask_argument(
    command: Command, name: str, given: dict[str, str], message: TextMessage, correction: str = ""
) -> Routed:
    assert command.arguments is not None  # noqa: S101
    asked = CommandQuestion(command=command.name, asks=name, given=given)
    text = escape(f"{correction}{question(command.arguments, name)}{leave()}", quote=False)
    return ask(message, Question(text, Conversation(command=asked, asked_by=message.update_id)))


def _ordered(command: Command, arguments: BaseModel | None, message: TextMessage) -> Routed:
    given = {} if arguments is None else arguments.model_dump(mode="json")
    return Routed(JOB_TYPES[command.handler.kind].decode({**who(message.sender), "arguments": given}))
