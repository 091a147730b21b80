"""The people."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from devstack.telegram.clock import Clock
from devstack.telegram.errors import ControlError
from devstack.telegram.state.store import Store

# Far above what people use for numbers in tests, so that given and drawn ids do not meet.
FIRST_DRAWN_USER_ID = 700_000_001
USERNAME = re.compile(r"[A-Za-z0-9_]{3,32}")


@dataclass(frozen=True, slots=True)
class User:
    id: int
    first_name: str
    last_name: str | None
    username: str | None
    language_code: str | None
    is_admin: bool
    deactivated: bool

    def api(self) -> dict[str, Any]:
        """The Bot API's User object."""
        user: dict[str, Any] = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        if self.last_name:
            user["last_name"] = self.last_name
        if self.username:
            user["username"] = self.username
        if self.language_code:
            user["language_code"] = self.language_code
        return user


CHANGEABLE = ("first_name", "last_name", "username", "language_code", "is_admin", "deactivated")


class Users:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get(self, user_id: int) -> User | None:
        row = self._store.read_one("SELECT * FROM users WHERE id = ?", user_id)
        return None if row is None else _user(row)

    def require(self, user_id: int) -> User:
        user = self.get(user_id)
        if user is None:
            raise ControlError(404, f"there is no user {user_id}")
        return user

    def all(self, limit: int) -> list[User]:
        rows = self._store.read("SELECT * FROM users ORDER BY is_admin DESC, created_at, id LIMIT ?", limit)
        return [_user(row) for row in rows]

    def draw_ids(self, count: int = 1) -> int:
        """Reserve `count` ids in a row; returns the first."""
        last = self._store.next("user_id", start=FIRST_DRAWN_USER_ID + count - 1, step=count)
        return last - count + 1

    def add(self, user: User) -> None:
        if self.get(user.id) is not None:
            raise ControlError(409, f"user {user.id} exists already")
        self._refuse_taken_name(user.username, user.id)
        self._store.write(
            "INSERT INTO users (id, first_name, last_name, username, language_code, is_admin, deactivated,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *_values(user),
            self._clock.now(),
        )

    def add_many(self, users: list[User]) -> None:
        now = self._clock.now()
        self._store.write_many(
            "INSERT OR IGNORE INTO users (id, first_name, last_name, username, language_code, is_admin,"
            " deactivated, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*_values(user), now) for user in users],
        )

    def change(self, user_id: int, changes: dict[str, Any]) -> User:
        """Give a user another name, username, flag; a username must be free."""
        self.require(user_id)
        if not changes.get("first_name", "?"):
            raise ControlError(400, "first_name: a user has one")
        unknown = sorted(set(changes) - set(CHANGEABLE))
        if unknown:
            raise ControlError(400, f"a user has no {', '.join(unknown)}; known: {', '.join(CHANGEABLE)}")
        self._refuse_taken_name(changes.get("username"), user_id)
        for field, value in changes.items():
            self._store.write(f"UPDATE users SET {field} = ? WHERE id = ?", value, user_id)  # noqa: S608 - CHANGEABLE
        return self.require(user_id)

    def _refuse_taken_name(self, username: str | None, user_id: int) -> None:
        if username is None:
            return
        if not isinstance(username, str) or not USERNAME.fullmatch(username):
            raise ControlError(400, f"username: expected 3 to 32 letters, digits or _, got {username!r}")
        owner = self._store.read_one("SELECT id FROM users WHERE username = ?", username)
        if owner is not None and owner["id"] != user_id:
            raise ControlError(409, f"the username {username} belongs to user {owner['id']}; free it first")


def _values(user: User) -> tuple[Any, ...]:
    return (
        user.id,
        user.first_name,
        user.last_name,
        user.username,
        user.language_code,
        user.is_admin,
        user.deactivated,
    )


def _user(row: sqlite3.Row) -> User:
    return User(
        id=row["id"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        username=row["username"],
        language_code=row["language_code"],
        is_admin=bool(row["is_admin"]),
        deactivated=bool(row["deactivated"]),
    )
