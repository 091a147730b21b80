"""What jobs of Ballast's own have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ballast.jobs import Job
from dbcore.currencies import CODE
from dbcore.ledger.users import TELEGRAM_ID_LIMIT, Profile
from dbcore.sentences import Refusal, sentence
from dbcore.text import is_blank

MEMO_LENGTH_MAX = 200


def _seen(text: str) -> str:
    if is_blank(text):
        raise Refusal(sentence("I see nothing in that. Please write something."))
    return text


Seen = AfterValidator(_seen)
"""Of a text that people are to read."""

TelegramId = Field(gt=0, lt=TELEGRAM_ID_LIMIT)

FurtherCurrency = Annotated[str | None, Field(pattern=f"^{CODE}$", exclude_if=lambda code: code is None)]
"""The code of the currency that a job's amount is in; None: the first. It is on record only where it is another: the
release before knows no such field, and refuses a job that has it rather than take its amount for one of the first.
"""


class ChatAct(Job):
    """What an operator does in the chat in their own name, as the audit log has it: nobody starts one by its task's
    name.
    """


class UserJob(Job):
    """A job on behalf of one Telegram user, as Telegram described them in the update."""

    telegram_id: int = TelegramId
    username: str | None = Field(default=None, max_length=64)
    first_name: str = Field(default="", max_length=256)
    language_code: str | None = Field(default=None, max_length=35)

    @property
    def profile(self) -> Profile:
        """The same in the ledger's terms."""
        return Profile(
            telegram_id=self.telegram_id,
            username=self.username,
            first_name=self.first_name,
            language_code=self.language_code,
        )
