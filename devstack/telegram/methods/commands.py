"""setMyCommands, getMyCommands, deleteMyCommands."""

from __future__ import annotations

import re
from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.commands import Scope
from devstack.telegram.telegram import Telegram

COMMANDS_MAX = 100
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_PLAIN_SCOPES = ("default", "all_private_chats", "all_group_chats", "all_chat_administrators")
_CHAT_SCOPES = ("chat", "chat_administrators", "chat_member")


def set_my_commands(telegram: Telegram, params: Parameters) -> bool:
    commands = params.json("commands", "commands")
    if not isinstance(commands, list):
        raise bad_request("can't parse commands: expected an Array of BotCommand")
    if len(commands) > COMMANDS_MAX:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    read = [_command(command) for command in commands]
    telegram.commands.set(_scope(telegram, params), params.text("language_code"), read)
    telegram.live.tell("commands")
    return True


def get_my_commands(telegram: Telegram, params: Parameters) -> list[dict[str, str]]:
    return telegram.commands.get(_scope(telegram, params), params.text("language_code"))


def delete_my_commands(telegram: Telegram, params: Parameters) -> bool:
    telegram.commands.delete(_scope(telegram, params), params.text("language_code"))
    telegram.live.tell("commands")
    return True


def _command(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise bad_request("expected an Object as BotCommand")
    command, description = value.get("command"), value.get("description")
    if not isinstance(command, str) or not isinstance(description, str):
        raise bad_request("can't parse BotCommand: fields command and description must be of type String")
    command = command.removeprefix("/")
    if not _COMMAND.fullmatch(command):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 1 <= len(description.strip()) <= 256:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": command, "description": description.strip()}


def _scope(telegram: Telegram, params: Parameters) -> Scope:
    value = params.json("scope", "BotCommandScope")
    if value is None:
        return {"type": "default"}
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in _PLAIN_SCOPES:
        return {"type": kind}
    if kind not in _CHAT_SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    scope: Scope = {"type": kind}
    for field in ("chat_id", "user_id") if kind == "chat_member" else ("chat_id",):
        try:
            scope[field] = int(value.get(field))
        except (TypeError, ValueError):
            raise bad_request(f"can't parse BotCommandScope: can't find field \"{field}\"") from None
    if telegram.chats.get(scope["chat_id"]) is None:
        raise bad_request("chat not found")
    return scope
