"""The bot's command menus, by scope and language, and which of them a user sees where."""

from __future__ import annotations

import json
from typing import Any

from devstack.telegram.state.store import Store

Scope = dict[str, Any]


class Commands:
    def __init__(self, store: Store) -> None:
        self._store = store

    def set(self, scope: Scope, language_code: str, commands: list[dict[str, str]]) -> None:
        self._store.write(
            "INSERT OR REPLACE INTO commands (scope, language_code, commands) VALUES (?, ?, ?)",
            _key(scope),
            language_code,
            json.dumps(commands),
        )

    def get(self, scope: Scope, language_code: str) -> list[dict[str, str]]:
        row = self._store.read_one(
            "SELECT commands FROM commands WHERE scope = ? AND language_code = ?", _key(scope), language_code
        )
        commands: list[dict[str, str]] = [] if row is None else json.loads(row["commands"])
        return commands

    def delete(self, scope: Scope, language_code: str) -> None:
        self._store.write(
            "DELETE FROM commands WHERE scope = ? AND language_code = ?", _key(scope), language_code
        )

    def menu(self, *, chat_id: int, user_id: int, language_code: str | None) -> list[dict[str, str]]:
        """The first list that is not empty, in the Bot API's order of narrowing scopes."""
        if chat_id > 0:
            scopes: list[Scope] = [
                {"type": "chat", "chat_id": chat_id},
                {"type": "all_private_chats"},
                {"type": "default"},
            ]
        else:
            scopes = [
                {"type": "chat_member", "chat_id": chat_id, "user_id": user_id},
                {"type": "chat", "chat_id": chat_id},
                {"type": "all_group_chats"},
                {"type": "default"},
            ]
        languages = [language_code, ""] if language_code else [""]
        for scope in scopes:
            for language in languages:
                commands = self.get(scope, language)
                if commands:
                    return commands
        return []


def _key(scope: Scope) -> str:
    return json.dumps(scope, sort_keys=True)
