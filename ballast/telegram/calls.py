"""A call of the Bot API for what is sent the most. The request and its errors are python-telegram-bot's; what its Bot
does besides costs as much again as the request: objects for the parameters, and for an answer of which an id is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from telegram import Bot
from telegram.request import RequestData


@dataclass(frozen=True)
class _Parameters:
    """What a transport reads of a RequestData, which only the Bot may make."""

    json_parameters: dict[str, str]
    multipart_data: dict[str, Any] = field(default_factory=dict)
    contains_files: bool = False


async def call(bot: Bot, method: str, parameters: Mapping[str, Any]) -> Any:
    """The result, as Telegram gave it. Raises TelegramError, as the Bot does.

    parameters -- JSON values by their names; None is left out.
    """
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters.items()
        if value is not None
    }
    return await bot.request.post(f"{bot.base_url}/{method}", cast(RequestData, _Parameters(texts)))
