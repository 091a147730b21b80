"""What jobs of Ballast's own have in common."""

from __future__ import annotations

from pydantic import Field

from ballast.jobs import Job
from dbcore.ledger.users import TELEGRAM_ID_LIMIT

MEMO_LENGTH_MAX = 200

TelegramId = Field(gt=0, lt=TELEGRAM_ID_LIMIT)


class UserJob(Job):
    """A job on behalf of one Telegram user, as Telegram described them in the update."""

    telegram_id: int = TelegramId
    username: str | None = Field(default=None, max_length=64)
    first_name: str = Field(default="", max_length=256)
    language_code: str | None = Field(default=None, max_length=35)
