"""What the local Telegram refuses.

RefusedError
├── ApiError       answered to the bot, in Telegram's own words and codes
└── ControlError   answered to whoever drives the control API
"""

from __future__ import annotations

from typing import Any


class RefusedError(Exception):
    """A request that is understood and answered with no."""


class ApiError(RefusedError):
    """An error of the Bot API: `error_code`, `description` and perhaps `parameters`."""

    def __init__(self, error_code: int, description: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self.error_code = error_code
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "ok": False,
            "error_code": self.error_code,
            "description": self.description,
        }
        if self.parameters:
            body["parameters"] = self.parameters
        return body


class ControlError(RefusedError):
    """The control API cannot do what it was asked; `status` is the HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def bad_request(what: str, parameters: dict[str, Any] | None = None) -> ApiError:
    return ApiError(400, f"Bad Request: {what}", parameters)


def forbidden(what: str) -> ApiError:
    return ApiError(403, f"Forbidden: {what}")


def conflict(what: str) -> ApiError:
    return ApiError(409, f"Conflict: {what}")


def too_many_requests(retry_after_seconds: int) -> ApiError:
    return ApiError(
        429,
        f"Too Many Requests: retry after {retry_after_seconds}",
        {"retry_after": retry_after_seconds},
    )
