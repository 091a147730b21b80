"""Reading what the control API is asked, and saying plainly what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from devstack.telegram.errors import ControlError

LIMIT_MAX = 100_000
WAIT_SECONDS_MAX = 60.0


class Body:
    """A JSON object whose fields are asked for by name and type."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ControlError(400, f"{name}: expected an integer, got {value!r}")
        return value

    def optional_integer(self, name: str) -> int | None:
        return None if self.fields.get(name) is None else self.integer(name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise ControlError(400, f"{name}: expected a string, got {value!r}")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.fields.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise ControlError(400, f"{name}: expected true or false, got {value!r}")
        return value

    def integers(self, name: str) -> list[int]:
        value = self.fields.get(name)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise ControlError(400, f"{name}: expected a list of integers, got {value!r}")
        return value


async def read_body(request: web.Request) -> Body:
    raw = await request.read()
    if not raw:
        return Body({})
    try:
        fields = json.loads(raw)
    except ValueError as error:
        raise ControlError(400, f"the body is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ControlError(400, "the body must be a JSON object")
    return Body(fields)


def query_integer(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ControlError(400, f"{name}: expected an integer, got {text!r}") from None


def query_flag(request: web.Request, name: str) -> bool | None:
    text = request.query.get(name)
    if text is None:
        return None
    if text not in ("true", "false"):
        raise ControlError(400, f"{name}: expected true or false, got {text!r}")
    return text == "true"


def query_limit(request: web.Request, default: int) -> int:
    limit = query_integer(request, "limit")
    return default if limit is None else max(1, min(limit, LIMIT_MAX))


def query_wait_seconds(request: web.Request) -> float:
    text = request.query.get("wait_seconds", "0")
    try:
        return max(0.0, min(float(text), WAIT_SECONDS_MAX))
    except ValueError:
        raise ControlError(400, f"wait_seconds: expected a number, got {text!r}") from None


def path_integer(request: web.Request, name: str = "id") -> int:
    try:
        return int(request.match_info[name])
    except ValueError:
        raise ControlError(400, f"{name}: expected an integer, got {request.match_info[name]!r}") from None
