"""The new address, sealed: it has a password, and stands in the old database and in Redis, where others may read it.

The bot's processes know two secrets: the password of DATABASE_URL, and the bot's token. The text is sealed once for
each, so that whoever knows one of them opens it. It is Fernet, of the package `cryptography`, with a key that scrypt
makes of the secret and a salt.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_SALT_BYTES = 16
_KEY_BYTES = 32
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1
_MEMORY_MAX = 64 * 1024 * 1024


class Unreadable(Exception):
    """None of the secrets opens it, or it was changed."""


class _Box(BaseModel):
    """The text as one secret opens it. salt -- in hexadecimal."""

    salt: str
    token: str


_BOXES = TypeAdapter(list[_Box])


def seal(text: str, secrets: Iterable[str]) -> str:
    """Readable for whoever knows one of the secrets, none of which is empty."""
    boxes = []
    for secret in secrets:
        salt = os.urandom(_SALT_BYTES)
        boxes.append(_Box(salt=salt.hex(), token=_cipher(secret, salt).encrypt(text.encode()).decode()))
    return _BOXES.dump_json(boxes).decode()


def unseal(sealed: str, secrets: Iterable[str]) -> str:
    """Raises Unreadable."""
    try:
        boxes = [(bytes.fromhex(box.salt), box.token) for box in _BOXES.validate_json(sealed)]
    except ValueError as error:
        raise Unreadable("it was changed") from error
    from cryptography.fernet import InvalidToken

    for secret in secrets:
        for salt, token in boxes:
            try:
                return _cipher(secret, salt).decrypt(token).decode()
            except (InvalidToken, ValueError):  # ValueError: it has more than ASCII
                continue
    raise Unreadable("none of this process's secrets opens it")


def _cipher(secret: str, salt: bytes) -> Fernet:
    from cryptography.fernet import Fernet  # 8 MB that only a process that follows a move needs

    key = hashlib.scrypt(
        secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY_MAX, dklen=_KEY_BYTES
    )
    return Fernet(base64.urlsafe_b64encode(key))
