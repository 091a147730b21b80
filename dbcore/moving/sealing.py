"""The new address, sealed: it has a password, and stands in the old database and in Redis, where others may read it.

The bot's processes know two secrets: the password of DATABASE_URL, and the bot's token. The text is sealed once for
each, so that whoever knows one of them opens it. From a secret and a salt scrypt makes two keys: HMAC-SHA256 of a
counter under the one is what the text is combined with, HMAC-SHA256 of the result under the other shows that it was not
changed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterable

_SALT_BYTES = 16
_KEY_BYTES = 32
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1
_MEMORY_MAX = 64 * 1024 * 1024


class Unreadable(Exception):
    """None of the secrets opens it, or it was changed."""


def seal(text: str, secrets: Iterable[str]) -> str:
    """Readable for whoever knows one of the secrets, none of which is empty."""
    sealed = []
    for secret in secrets:
        salt = os.urandom(_SALT_BYTES)
        stream_key, tag_key = _keys(secret, salt)
        hidden = _combined(text.encode(), stream_key)
        tag = hmac.digest(tag_key, hidden, "sha256")
        sealed.append([base64.b64encode(part).decode() for part in (salt, hidden, tag)])
    return json.dumps(sealed)


def unseal(sealed: str, secrets: Iterable[str]) -> str:
    """Raises Unreadable."""
    try:
        boxes = [[base64.b64decode(part) for part in box] for box in json.loads(sealed)]
    except ValueError as error:
        raise Unreadable("it was changed") from error
    for secret in secrets:
        for salt, hidden, tag in boxes:
            stream_key, tag_key = _keys(secret, salt)
            if hmac.compare_digest(hmac.digest(tag_key, hidden, "sha256"), tag):
                return _combined(hidden, stream_key).decode()
    raise Unreadable("none of this process's secrets opens it")


def _keys(secret: str, salt: bytes) -> tuple[bytes, bytes]:
    """A salt is drawn for each text, so no two texts are combined with the same stream."""
    made = hashlib.scrypt(
        secret.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY_MAX, dklen=2 * _KEY_BYTES
    )
    return made[:_KEY_BYTES], made[_KEY_BYTES:]


def _combined(text: bytes, key: bytes) -> bytes:
    stream = b""
    while len(stream) < len(text):
        stream += hmac.digest(key, len(stream).to_bytes(8, "big"), "sha256")
    return bytes(one ^ other for one, other in zip(text, stream, strict=False))
