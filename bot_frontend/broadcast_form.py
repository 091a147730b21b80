"""What a broadcast's card asks an admin in words, and what the answers mean. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ballast.apps.command_names import joined, mention
from ballast.builtin.broadcasts import CardQuestion, ChangeDraft
from ballast.builtin.composition import ACTIVE_DAYS_MAX, STARS_MAX, TELEGRAM_IDS_MAX
from ballast.jobs import JobInvalid
from ballast.texts import gettext
from ballast.texts.formats import zone
from ballast.texts.phrases import quoted
from bot_frontend.conversation import DraftQuestion
from dbcore.money import AmountError, parse_amount
from dbcore.sentences import Refusal, Sentence, sentence
from dbcore.settings import Settings

_QUIET = re.compile(r"(?P<begin>\d{1,2}:\d\d)\s*(?:-|–|to)\s*(?P<end>\d{1,2}:\d\d)(?:\s+(?P<zone>\S+))?")
_TIME = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)[ T]+(?P<time>\d{1,2}:\d\d)(?:\s*(?P<zone>\S+))?")


class AnswerError(Refusal):
    """The answer is none to this question. It says so in Telegram's HTML."""


def question(asked: DraftQuestion, settings: Settings) -> str:
    return joined(_asks(asked.asks, settings), mention("cancel", "Send {command} to leave it as it is."))


def _asks(asks: CardQuestion, settings: Settings) -> str:
    match asks:
        case CardQuestion.ACTIVE:
            return gettext("To those seen within how many days? For example {example}.", example="30")
        case CardQuestion.BALANCE:
            return gettext(
                "To those with which balance or more? For example {example}.",
                example=f"5.50 {settings.currency}",
            )
        case CardQuestion.LANGUAGE:
            return gettext(
                "To those whose Telegram speaks which language? For example {example}, which is {regional} too.",
                example="de",
                regional="de-at",
            )
        case CardQuestion.IDS:
            return gettext(
                "To whom? Send me their numeric Telegram ids, with spaces or new lines between them. Several lists "
                "add up."
            )
        case CardQuestion.TIME:
            return gettext(
                "When is it to begin? For example {example}; without a time zone it is {zone}.",
                example="2026-12-01 18:00 Europe/Berlin",
                zone=zone(settings.timezone).key,
            )
        case CardQuestion.QUIET:
            return gettext(
                "Between which hours is nothing to go out? For example {example}; without a time zone it is {zone}.",
                example="22:00-08:00 Europe/Berlin",
                zone=zone(settings.timezone).key,
            )
        case CardQuestion.STARS:
            return gettext(
                "Up to {rate} a second for a tenth of a Star each. How many Stars may it cost at most? For example "
                "{example}.",
                rate=1000,
                example="500",
            )


def answered(
    asked: DraftQuestion, text: str, admin_id: int, settings: Settings, *, now: datetime
) -> ChangeDraft:
    """now -- when it was said. Raises AnswerError."""
    try:
        fields = _change(asked.asks, text.strip(), settings)
        change = ChangeDraft.decode({"broadcast_id": asked.broadcast_id, "telegram_id": admin_id, **fields})
    except AmountError as error:
        raise AnswerError(*error.sentences) from error
    except JobInvalid as error:
        raise AnswerError(_expected(asked.asks)) from error
    if change.objection(now) is not None:
        clocks = zone(settings.timezone)
        raise AnswerError(
            sentence(
                "I expected a time to come, and it is {now} now.",
                now=f"{now.astimezone(clocks):%Y-%m-%d %H:%M} {clocks.key}",
            )
        )
    return change


def _expected(asks: CardQuestion) -> Sentence:
    """Where the answer was understood, and cannot be."""
    match asks:
        case CardQuestion.ACTIVE:
            return sentence(
                "I expected a number of days from {least} to {most}.", least=1, most=ACTIVE_DAYS_MAX
            )
        case CardQuestion.LANGUAGE:
            return sentence("I expected the code of a language, such as {example}.", example="de")
        case CardQuestion.IDS:
            return sentence("I expected up to {most} Telegram ids, each above 0.", most=TELEGRAM_IDS_MAX)
        case CardQuestion.QUIET:
            return sentence("I expected two different times of day, and a time zone that I know.")
        case CardQuestion.STARS:
            return sentence("I expected a number of Stars from {least} to {most}.", least=0, most=STARS_MAX)
        case CardQuestion.BALANCE:
            return sentence("The amount is too large.")
        case CardQuestion.TIME:
            return sentence("I do not know this time or this time zone.")


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
            return {"scheduled_for": _time(text, settings)}
        case CardQuestion.QUIET:
            return {"quiet_hours": _quiet_hours(text, settings)}
        case CardQuestion.STARS:
            return {"stars_max": _number(text)}


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", text):
        got = quoted(text, 40)
        if not got:
            raise AnswerError(sentence("I expected a whole number, and got nothing."))
        raise AnswerError(sentence("I expected a whole number, and got {text}.", text=got))
    return int(text)


def _time(text: str, settings: Settings) -> str:
    found = _TIME.fullmatch(text)
    if found is None:
        raise AnswerError(sentence("I expected a date and a time."))
    try:
        named = {None: zone(settings.timezone).key, "Z": "UTC"}.get(found["zone"], found["zone"])
        clocks = ZoneInfo(named)
        local = datetime.fromisoformat(f"{found['date']}T{found['time']:0>5}")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise AnswerError(sentence("I do not know this time or this time zone.")) from None
    return local.replace(tzinfo=clocks).isoformat()


def _quiet_hours(text: str, settings: Settings) -> dict[str, str]:
    found = _QUIET.fullmatch(text)
    if found is None:
        raise AnswerError(sentence("I expected two times of day."))
    return {
        "begin": f"{found['begin']:0>5}",
        "end": f"{found['end']:0>5}",
        "zone": found["zone"] or zone(settings.timezone).key,
    }
