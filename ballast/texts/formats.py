"""Amounts, numbers, times and durations as the language that is spoken writes them.

Digits are 0 to 9 in every language: these are what people can type and what amounts are read from. What is shown of an
amount is read back as that amount, or refused (dbcore/money.py).
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING

from ballast.texts.catalogues import ENGLISH
from ballast.texts.speech import chosen_zone, gettext, spoken

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_ENGLISH_SIGNS = (",", ".")


def number(value: int) -> str:
    """With its digits in groups: 12,345."""
    return f"{value:,}".replace(",", _signs(spoken())[0])


def decimals(value: float, digits: int) -> str:
    """With so many digits behind the decimal sign."""
    whole, _, behind = f"{value:,.{digits}f}".partition(".")
    group, point = _signs(spoken())
    whole = whole.replace(",", group)
    return f"{whole}{point}{behind}" if behind else whole


def share(value: float) -> str:
    """0.5 is 50%."""
    return gettext("{percent}%", percent=f"{100 * value:.0f}")


def amount(minor: int, exponent: int, currency: str) -> str:
    """Minor units with their currency: `1,234.50 CREDIT`."""
    group, point = _signs(spoken())
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    whole, behind = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    grouped = f"{int(whole):,}".replace(",", group)
    return f"{'-' if minor < 0 else ''}{grouped}{point if behind else ''}{behind} {currency}"


def zone(default: str = "UTC") -> ZoneInfo:
    """Whose clocks times are shown by: those of whoever reads, or of `default` if they chose none."""
    from zoneinfo import ZoneInfo  # which reads how this Python was built: no number needs that

    return ZoneInfo(chosen_zone() or default)


def day(moment: datetime) -> str:
    """2026-11-27, or as the language has it."""
    language = spoken()
    if language == ENGLISH or not _is_known(language):
        return f"{moment:%Y-%m-%d}"
    from babel.dates import format_skeleton

    return format_skeleton("yMMdd", moment, locale=language)


def day_and_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """zone -- on whose clocks; as it is if not given."""
    local = moment if zone is None else moment.astimezone(zone)
    return f"{day(local)} {local:%H:%M}"


def duration(seconds: float) -> str:
    """Rounded as people say it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return gettext("{seconds} s", seconds=max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 60:
        return gettext("{minutes} min", minutes=minutes)
    return gettext("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)


@cache
def _is_known(language: str) -> bool:
    from babel.localedata import exists

    return exists(language)


@cache
def _signs(language: str) -> tuple[str, str]:
    """Between groups of digits, and before decimals."""
    if language == ENGLISH or not _is_known(language):
        return _ENGLISH_SIGNS
    from babel import Locale

    signs = Locale.parse(language).number_symbols["latn"]
    return signs["group"], signs["decimal"]
