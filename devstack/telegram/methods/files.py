"""getFile. The file itself is at /file/bot<token>/<file_path>, as bot_api.py serves it."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.parameters import Parameters
from devstack.telegram.telegram import Telegram

DOWNLOAD_BYTES_MAX = 20 * 1024 * 1024


def get_file(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    file = telegram.files.get(params.text("file_id"))
    if file is None:
        raise bad_request("invalid file_id")
    if file.size > DOWNLOAD_BYTES_MAX:
        raise bad_request("file is too big")
    return {
        "file_id": file.file_id,
        "file_unique_id": file.file_unique_id,
        "file_size": file.size,
        "file_path": file.file_id,
    }
