"""A method's parameters, however they came: query string, urlencoded, JSON or multipart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from devstack.telegram.errors import ApiError, bad_request

TRUE_WORDS = frozenset({"true", "yes", "1"})


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a multipart request."""

    name: str
    mime_type: str
    content: bytes


class Parameters:
    """Values as the Bot API reads them: leniently, every value may come as a string."""

    def __init__(self, values: dict[str, Any], uploads: dict[str, Upload]) -> None:
        self._values = values
        self._uploads = uploads

    def recorded(self) -> dict[str, Any]:
        """For the record: the values, with a file's size in place of its bytes."""
        files = {
            name: {"file_name": upload.name, "file_size": len(upload.content)}
            for name, upload in self._uploads.items()
        }
        return {**self._values, **files}

    def text(self, name: str) -> str:
        """The value as text, empty when it is missing."""
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else json.dumps(value)

    def has(self, name: str) -> bool:
        return name in self._values

    def flag(self, name: str) -> bool:
        return self.text(name).strip().lower() in TRUE_WORDS

    def integer(self, name: str, default: int = 0, low: int | None = None, high: int | None = None) -> int:
        """The value as an integer within its bounds; nonsense counts as the default, as with Telegram."""
        try:
            value = int(self.text(name).strip() or default)
        except ValueError:
            value = default
        if low is not None and value < low:
            value = low
        if high is not None and value > high:
            value = high
        return value

    def optional_integer(self, name: str) -> int | None:
        try:
            return int(self.text(name).strip())
        except ValueError:
            return None

    def json(self, name: str, what: str) -> Any:
        """The value as JSON, None when missing; `what` names it in the error."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise bad_request(f"can't parse {what} JSON object") from None

    def upload(self, name: str) -> Upload | None:
        """The file under this name, sent directly or as attach://<other name>."""
        if name in self._uploads:
            return self._uploads[name]
        value = self.text(name)
        if value.startswith("attach://"):
            return self._uploads.get(value.removeprefix("attach://"))
        return None


async def read_parameters(request: web.Request) -> Parameters:
    """Raises ApiError for a body that is too large or no JSON object."""
    try:
        return await _read(request)
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request Entity Too Large") from None


async def _read(request: web.Request) -> Parameters:
    values: dict[str, Any] = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.method == "POST":
        kind = request.content_type
        if kind == "application/json":
            body = await request.read()
            if body:
                values.update(_json_object(body))
        elif kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            for name, field in (await request.post()).items():
                if isinstance(field, web.FileField):
                    uploads[name] = Upload(field.filename, field.content_type, field.file.read())
                else:
                    values[name] = field if isinstance(field, str) else bytes(field).decode(errors="replace")
    return Parameters(values, uploads)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError:
        raise bad_request("can't parse request: can't parse JSON object") from None
    if not isinstance(values, dict):
        raise bad_request("can't parse request: expected an Object")
    return values
