"""The messages, each with a revision that grows whenever anything about it changes."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from devstack.telegram.live import Live
from devstack.telegram.state.store import Store


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message and its fate.

    `payload` is the Bot API's Message; `keyboard` a reply keyboard, which is no part of it.
    """

    message_id: int
    chat_id: int
    from_bot: bool
    date: int
    payload: dict[str, Any]
    keyboard: dict[str, Any] | None
    silent: bool
    edits: int
    deleted: bool
    revision: int

    def described(self) -> dict[str, Any]:
        """As the control API and the chat page see it."""
        return {
            "message_id": self.message_id,
            "chat_id": self.chat_id,
            "from_bot": self.from_bot,
            "date": self.date,
            "text": self.payload.get("text") or self.payload.get("caption") or self._invoiced(),
            "message": self.payload,
            "keyboard": self.keyboard,
            "silent": self.silent,
            "edits": self.edits,
            "deleted": self.deleted,
            "revision": self.revision,
        }

    def _invoiced(self) -> str:
        """What a chat shows of an invoice; empty if it is none."""
        invoice = self.payload.get("invoice")
        return f"{invoice['title']}\n{invoice['description']}" if invoice else ""


class Messages:
    def __init__(self, store: Store, live: Live) -> None:
        self._store = store
        self._live = live

    def draw_id(self) -> int:
        return self._store.next("message_id")

    def add(
        self,
        payload: dict[str, Any],
        *,
        from_bot: bool,
        keyboard: dict[str, Any] | None = None,
        silent: bool = False,
    ) -> StoredMessage:
        message = StoredMessage(
            message_id=payload["message_id"],
            chat_id=payload["chat"]["id"],
            from_bot=from_bot,
            date=payload["date"],
            payload=payload,
            keyboard=keyboard,
            silent=silent,
            edits=0,
            deleted=False,
            revision=self._store.next("revision"),
        )
        self._store.write(
            "INSERT INTO messages (message_id, chat_id, from_bot, date, payload, keyboard, silent, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            message.message_id,
            message.chat_id,
            from_bot,
            message.date,
            json.dumps(payload),
            None if keyboard is None else json.dumps(keyboard),
            silent,
            message.revision,
        )
        self._live.tell("message", chat_id=message.chat_id, message=message.described())
        return message

    def get(self, chat_id: int, message_id: int) -> StoredMessage | None:
        """The message, unless it was deleted."""
        row = self._store.read_one(
            "SELECT * FROM messages WHERE message_id = ? AND chat_id = ? AND deleted = 0", message_id, chat_id
        )
        return None if row is None else _message(row)

    def change(self, message: StoredMessage, payload: dict[str, Any]) -> None:
        self._store.write(
            "UPDATE messages SET payload = ?, edits = edits + 1, revision = ? WHERE message_id = ?",
            json.dumps(payload),
            self._store.next("revision"),
            message.message_id,
        )
        self._tell_change(message)

    def delete(self, message: StoredMessage) -> None:
        self._store.write(
            "UPDATE messages SET deleted = 1, revision = ? WHERE message_id = ?",
            self._store.next("revision"),
            message.message_id,
        )
        self._tell_change(message)

    def listed(
        self,
        *,
        chat_id: int | None,
        after: int,
        limit: int,
        include_deleted: bool,
        from_bot: bool | None,
        latest: bool,
    ) -> list[StoredMessage]:
        """Messages whose revision is above `after`, oldest change first.

        `latest` takes the newest `limit` of them instead of the oldest.
        """
        wanted = ["revision > ?"]
        values: list[Any] = [after]
        if chat_id is not None:
            wanted.append("chat_id = ?")
            values.append(chat_id)
        if not include_deleted:
            wanted.append("deleted = 0")
        if from_bot is not None:
            wanted.append("from_bot = ?")
            values.append(from_bot)
        order = "message_id DESC" if latest else "revision"
        rows = self._store.read(
            f"SELECT * FROM messages WHERE {' AND '.join(wanted)} ORDER BY {order} LIMIT ?",  # noqa: S608 - parts above
            *values,
            limit,
        )
        found = [_message(row) for row in rows]
        return found[::-1] if latest else found

    def last_revision(self) -> int:
        """The revision of the latest change anywhere."""
        row = self._store.read_one("SELECT value FROM counters WHERE name = 'revision'")
        return 0 if row is None else int(row["value"])

    def _tell_change(self, message: StoredMessage) -> None:
        row = self._store.read_one("SELECT * FROM messages WHERE message_id = ?", message.message_id)
        if row is not None:
            self._live.tell("message", chat_id=message.chat_id, message=_message(row).described())


def _message(row: sqlite3.Row) -> StoredMessage:
    return StoredMessage(
        message_id=row["message_id"],
        chat_id=row["chat_id"],
        from_bot=bool(row["from_bot"]),
        date=row["date"],
        payload=json.loads(row["payload"]),
        keyboard=None if row["keyboard"] is None else json.loads(row["keyboard"]),
        silent=bool(row["silent"]),
        edits=row["edits"],
        deleted=bool(row["deleted"]),
        revision=row["revision"],
    )
