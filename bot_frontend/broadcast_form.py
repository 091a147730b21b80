"""What a broadcast's card asks an admin in words, and what the answers mean. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot_frontend.conversation import DraftQuestion
from dbcore.money import AmountError, parse_amount
from dbcore.settings import Settings
from workers.command_names import mention
from workers.jobs import CardQuestion, ChangeDraft, JobInvalid
from workers.phrases import quoted

_QUIET = re.compile(r"(?P<begin>\d{1,2}:\d\d)\s*(?:-|–|to)\s*(?P<end>\d{1,2}:\d\d)(?:\s+(?P<zone>\S+))?")
_TIME = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)[ T]+(?P<time>\d{1,2}:\d\d)(?:\s*(?P<zone>\S+))?")

_QUESTIONS = {
    CardQuestion.ACTIVE: "To those seen within how many days? For example 30.",
    CardQuestion.BALANCE: "To those with which balance or more? For example 5.50.",
    CardQuestion.LANGUAGE: "To those whose Telegram speaks which language? For example de, which is de-at too.",
    CardQuestion.IDS: (
        "To whom? Send me their numeric Telegram ids, with spaces or new lines between them. Several lists add up."
    ),
    CardQuestion.TIME: (
        "When is it to begin? For example 2026-12-01 18:00 Europe/Berlin; without a time zone it is UTC."
    ),
    CardQuestion.QUIET: (
        "Between which hours is nothing to go out? For example 22:00-08:00 Europe/Berlin; without a time zone it "
        "is UTC."
    ),
    CardQuestion.STARS: (
        "Up to 1,000 a second for a tenth of a Star each. How many Stars may it cost at most? For example 500."
    ),
}


class AnswerError(ValueError):
    """The answer is none to this question. The message is a sentence in Telegram's HTML."""


def question(asked: DraftQuestion, settings: Settings) -> str:
    unit = f" {settings.currency}" if asked.asks is CardQuestion.BALANCE else ""
    return f"{_QUESTIONS[asked.asks].removesuffix('.')}{unit}.{mention('cancel', ' Send {} to leave it as it is.')}"


def answered(
    asked: DraftQuestion, text: str, admin_id: int, settings: Settings, *, now: datetime
) -> ChangeDraft:
    """now -- when it was said. Raises AnswerError."""
    try:
        fields = _change(asked.asks, text.strip(), settings)
        change = ChangeDraft.decode({"broadcast_id": asked.broadcast_id, "telegram_id": admin_id, **fields})
    except AmountError as error:
        raise AnswerError(str(error)) from error
    except JobInvalid as error:
        # Named by its field, for a person: "quiet_hours.zone: expected a time zone such as Europe/Berlin, got 'x'".
        raise AnswerError(f"{escape(str(error).partition(': ')[2][:300], quote=False)}.") from error
    if change.objection(now) is not None:
        raise AnswerError(f"I expected a time to come, and it is {now:%Y-%m-%d %H:%M} UTC now.")
    return change


def _change(asks: CardQuestion, text: str, settings: Settings) -> dict[str, Any]:
    match asks:
        case CardQuestion.ACTIVE:
            return {"segment": {"active_days": _number(text)}}
        case CardQuestion.BALANCE:
            return {
                "segment": {"balance_min": parse_amount(text, settings.currency_exponent, settings.currency)}
            }
        case CardQuestion.LANGUAGE:
            return {"segment": {"language": text}}
        case CardQuestion.IDS:
            words = text.replace(",", " ").split() or [text]
            return {"segment": {"telegram_ids": [_number(word) for word in words]}}
        case CardQuestion.TIME:
            return {"scheduled_for": _time(text)}
        case CardQuestion.QUIET:
            return {"quiet_hours": _quiet_hours(text)}
        case CardQuestion.STARS:
            return {"stars_max": _number(text)}


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise AnswerError(f"I expected a whole number, and got {quoted(text, 40) or 'nothing'}.")
    return int(text)


def _time(text: str) -> str:
    found = _TIME.fullmatch(text)
    if found is None:
        raise AnswerError("I expected a date and a time.")
    try:
        zone = UTC if found["zone"] in {None, "UTC", "Z"} else ZoneInfo(found["zone"])
        local = datetime.fromisoformat(f"{found['date']}T{found['time']:0>5}")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise AnswerError("I do not know this time or this time zone.") from None
    return local.replace(tzinfo=zone).isoformat()


def _quiet_hours(text: str) -> dict[str, str]:
    found = _QUIET.fullmatch(text)
    if found is None:
        raise AnswerError("I expected two times of day.")
    return {
        "begin": f"{found['begin']:0>5}",
        "end": f"{found['end']:0>5}",
        "zone": found["zone"] or "UTC",
    }
